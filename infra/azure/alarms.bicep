// Who is told when a night goes wrong, in the queries of Log Analytics: of our metrics (docs/metrics.md) as their processes send them, which
// the host does not sample, and of the functions' calls; by the guide's cloud_RoleName. The twins of template.yaml's alarms.

param namePrefix string
param location string
param tags object
@description('The id of the Application Insights component.')
param insightsId string
param nightBeginsByItself bool
@minValue(0)
@maxValue(100)
param rejectPercentLimit int
@description('Empty for a group of this deployment\'s own.')
param actionGroupId string
param alarmEmail string

var here = '| where cloud_RoleName == "${namePrefix}"'
var groupId = empty(actionGroupId) ? group.id : actionGroupId
// A row where there is none, and no time in it: else the service counts by bins of an hour, of which only the last one tells.
var none = '| summarize calls = count() | where calls == 0'
var counted = 'customMetrics ${here} | where name =='
// Rows are counted without a column. A rule's query must begin with a table: of union and search it takes none.
var alarms = [
  {
    name: 'function-errors'
    description: 'A function failed (the guide\'s makoto-batch-failure), or left a day to the run that holds it; docs/runbooks/function-errors.md'
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
    description: 'No night began for 26 hours; docs/runbooks/night-missed.md'
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
    description: 'Nothing called the watcher for an hour, so no late day would be told; docs/runbooks/watch-missed.md'
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
    description: 'A day was given up after three tries; docs/runbooks/dead-letters.md'
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
    description: 'A day failed for good; docs/runbooks/days-failed.md'
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
    description: 'A day is not done although it is due; docs/runbooks/days-late.md'
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
    description: 'A tenant\'s days could not be looked after; docs/runbooks/tenants-in-trouble.md'
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
    description: 'A tenant\'s name is none, so its days were not asked for; docs/runbooks/days-refused.md'
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
    description: 'More of a day\'s records were rejected than is usual; docs/runbooks/reject-percent.md'
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
    description: 'A day has far more or far fewer messages than its tenant\'s same weekdays; docs/runbooks/days-unusual.md'
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
    description: 'A day was settled long after its job had ended, for no event told of it; docs/runbooks/days-drifted.md'
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
    description: 'A day broke a rule of quality that warns; docs/runbooks/quality-warnings.md'
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
