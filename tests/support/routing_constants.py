"""Round numbers for predictions and prices: those of the worked examples in docs/project/costs.md."""

from daily_batch.orchestration.routing import Prices
from daily_batch.orchestration.routing.prices import parse_constants

CONSTANTS = """
[stored]
export_message_bytes = 200
object_message_bytes = 800
objects_per_list = 20
manifest_object_bytes = 150
files_written = 12
[local]
cores = 2
start_seconds = 6
object_core_seconds = 0.0005
message_core_seconds = 0.0001
memory_base_bytes = 209_715_200
memory_message_bytes = 4_096
memory_most_bytes = 536_870_912
temp_message_bytes = 1_024
[spark]
start_seconds = 15
message_core_seconds = 0.0001
list_object_seconds = 0
[s3]
gets_per_second = 5_000
puts_per_second = 3_000
partitions = 1
[emr]
start_seconds = 120
driver_vcpu = 2
driver_gb = 8
executor_vcpu = 4
executor_gb = 16
executor_seconds = 300
"""
PRICES = """
[function]
gb_second = 0.0000166667
request = 0.0000002
[store]
get = 0.00000037
put = 0.0000047
list = 0.0000047
[emr]
vcpu_hour = 0.052585
gb_hour = 0.005746
minimum_seconds = 60
"""
AZURE_PRICES = """
[flex]
gb_second = 0.00004
request = 0.0000004
minimum_seconds = 1
step_seconds = 0.1
free_gb_seconds = 10_000
free_requests = 10
[blob]
get = 0.0000004
put = 0.000005
list = 0.000005
[databricks]
dbu = 0.30
"""
NODE_PRICES = "node_dbus = 1.5\nnode_hour = 0.25\n"


def make_prices(text: str = PRICES + AZURE_PRICES + NODE_PRICES) -> Prices:
    return parse_constants(text, Prices, origin="prices.toml")
