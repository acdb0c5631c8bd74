// Alarm rules as Log Analytics queries over our metrics (docs/metrics.md), which are never sampled, and over the functions' calls, by the
// guide's cloud_RoleName. They correspond to the alarms in template.yaml.

param namePrefix string
param location string
param tags object
@description('The id of the Application Insights component.')
param insightsId string
param nightBeginsByItself bool
@minValue(0)
@maxValue(100)
param rejectPercentLimit int
@description('Id of an existing action group. Empty to create one.')
param actionGroupId string
param alarmEmail string

var here = '| where cloud_RoleName == "${namePrefix}"'
var groupId = empty(actionGroupId) ? group.id : actionGroupId
// One row if there are no calls, without a time column: with one, the service counts by bins of an hour and uses only the last.
var none = '| summarize calls = count() | where calls == 0'
var counted = 'customMetrics ${here} | where name =='
// Without a column, rows are counted. A rule's query must start with a table; union and search are rejected.
var alarms = [
  {
    name: 'function-errors'
    description: 'A function failed (the guide\'s makoto-batch-failure), or found its day held by another run; see docs/runbooks/function-errors.md'
    severity: 3
    enabled: true
    query: 'requests ${here} | where success == false'
    column: null
    aggregation: 'Count'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'night-missed'
    description: 'No nightly run started for 26 hours; see docs/runbooks/night-missed.md'
    severity: 1
    enabled: nightBeginsByItself
    query: 'requests ${here} | where operation_Name == "night" | where timestamp > ago(26h) ${none}'
    column: null
    aggregation: 'Count'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: 'P2D'
  }
  {
    name: 'watch-missed'
    description: 'The watcher was not called for an hour, so late days are not reported; see docs/runbooks/watch-missed.md'
    severity: 1
    enabled: true
    query: 'requests ${here} | where operation_Name == "watch" | where timestamp > ago(1h) ${none}'
    column: null
    aggregation: 'Count'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'dead-letters'
    description: 'A message failed three times and is not retried; see docs/runbooks/dead-letters.md'
    severity: 1
    enabled: true
    query: '${counted} "TasksGivenUp"'
    column: 'valueSum'
    aggregation: 'Total'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'days-failed'
    description: 'A day failed and is not retried; see docs/runbooks/days-failed.md'
    severity: 1
    enabled: true
    query: '${counted} "DaysFailed"'
    column: 'valueSum'
    aggregation: 'Total'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'days-late'
    description: 'A day is not completed although it is due; see docs/runbooks/days-late.md'
    severity: 1
    enabled: true
    query: '${counted} "DaysLate"'
    column: 'valueSum'
    aggregation: 'Maximum'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'tenants-in-trouble'
    description: 'The watcher could not check a tenant\'s days; see docs/runbooks/tenants-in-trouble.md'
    severity: 1
    enabled: true
    query: '${counted} "TenantsInTrouble"'
    column: 'valueSum'
    aggregation: 'Maximum'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'days-refused'
    description: 'A tenant name is not allowed, so its days were not queued; see docs/runbooks/days-refused.md'
    severity: 2
    enabled: true
    query: '${counted} "DaysRefused"'
    column: 'valueSum'
    aggregation: 'Maximum'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'reject-percent'
    description: 'More of a day\'s records were rejected than rejectPercentLimit allows; see docs/runbooks/reject-percent.md'
    severity: 2
    enabled: true
    query: '${counted} "RejectPercent"'
    column: 'valueMax'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: rejectPercentLimit
    range: null
  }
  {
    name: 'days-unusual'
    description: 'A day has far more or far fewer messages than the tenant\'s same weekdays before; see docs/runbooks/days-unusual.md'
    severity: 2
    enabled: true
    query: '${counted} "DaysUnusual"'
    column: 'valueSum'
    aggregation: 'Total'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'days-drifted'
    description: 'A run\'s end was found long after it; see docs/runbooks/days-drifted.md'
    severity: 3
    enabled: true
    query: '${counted} "DaysDrifted"'
    column: 'valueSum'
    aggregation: 'Total'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
  {
    name: 'quality-warnings'
    description: 'A day broke a quality rule that warns; see docs/runbooks/quality-warnings.md'
    severity: 3
    enabled: true
    query: '${counted} "QualityWarnings"'
    column: 'valueSum'
    aggregation: 'Total'
    operator: 'GreaterThanOrEqual'
    threshold: 1
    range: null
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (empty(actionGroupId)) {
  name: '${namePrefix}-alarms'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'makoto'
    enabled: true
    emailReceivers: empty(alarmEmail) ? [] : [{ name: 'mail', emailAddress: alarmEmail, useCommonAlertSchema: true }]
  }
}

resource rules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alarm in alarms: {
    name: '${namePrefix}-${alarm.name}'
    location: location
    tags: tags
    properties: {
      displayName: '${namePrefix}-${alarm.name}'
      description: alarm.description
      severity: alarm.severity
      enabled: alarm.enabled
      scopes: [insightsId]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT1H'
      overrideQueryTimeRange: alarm.range
      criteria: {
        allOf: [
          {
            query: alarm.query
            metricMeasureColumn: alarm.column
            timeAggregation: alarm.aggregation
            operator: alarm.operator
            threshold: alarm.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: true
      actions: { actionGroups: [groupId] }
    }
  }
]

output actionGroupId string = groupId
