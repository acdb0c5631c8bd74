// Who is told when a night goes wrong. The queries ask what the functions log, by the guide's cloud_RoleName.

param namePrefix string
param location string
param tags object
@description('The id of the Application Insights component.')
param insightsId string
param nightBeginsByItself bool
@description('Empty for a group of this deployment\'s own.')
param actionGroupId string
param alarmEmail string

var here = '| where cloud_RoleName == "${namePrefix}"'
var groupId = empty(actionGroupId) ? group.id : actionGroupId
var counted = 'traces ${here} | extend told = parse_json(message) | where tostring(told.metric)'
var alarms = [
  {
    name: 'failures'
    description: 'A function failed (the guide\'s makoto-batch-failure), or left a day to the run that holds it'
    severity: 3
    enabled: true
    query: 'union (requests | where success == false), exceptions ${here}'
    operator: 'GreaterThan'
    threshold: 0
    range: null
  }
  {
    name: 'poison'
    description: 'A day was given up after three tries: the function poison was given its message'
    severity: 1
    enabled: true
    query: 'requests ${here} | where operation_Name == "poison"'
    operator: 'GreaterThan'
    threshold: 0
    range: null
  }
  {
    name: 'days-failed'
    description: 'A day failed for good, was refused, or could not be looked after'
    severity: 1
    enabled: true
    query: '${counted} in ("DaysFailed", "DaysRefused", "TenantsInTrouble")'
    operator: 'GreaterThan'
    threshold: 0
    range: null
  }
  {
    name: 'days-late'
    description: 'A day is not done by the time it is due'
    severity: 1
    enabled: true
    query: '${counted} == "DaysLate"'
    operator: 'GreaterThan'
    threshold: 0
    range: null
  }
  {
    name: 'night-missed'
    description: 'No night began for 26 hours; look at the timer night and at the app'
    severity: 1
    enabled: nightBeginsByItself
    query: 'requests ${here} | where operation_Name == "night" | where timestamp > ago(26h)'
    operator: 'LessThan'
    threshold: 1
    range: 'P2D'
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
            timeAggregation: 'Count'
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
