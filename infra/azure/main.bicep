// MAKOTO daily batch on Azure: every night at 02:00 JST, turns each tenant's previous day of messages into tables, in a
// function or on Databricks. docs/deploy-azure.md explains the deployment and each permission. databricks.yml deploys the
// Databricks job; the storage account for messages and tables exists already.

targetScope = 'resourceGroup'

@description('Prefix of all resource names; must be unique per deployment.')
@minLength(3)
@maxLength(40)
param namePrefix string = 'makoto-daily-batch'
@description('Region of all resources; the region of the messages.')
param location string = resourceGroup().location
param tags object = {}

@description('The existing storage account for messages and tables.')
@minLength(3)
@maxLength(24)
param dataAccountName string
param dataResourceGroup string = resourceGroup().name
@description('The container of the messages.')
@minLength(3)
@maxLength(63)
param dataContainer string
@description('Prefix of the tenant folders in the message container, ending in a slash, or empty.')
param dataPrefix string = ''
@description('The container of the tables, in the same account.')
@minLength(3)
@maxLength(63)
param outputContainer string = dataContainer
@description('Prefix of the tenant folders in the table container, ending in a slash, or empty.')
param outputPrefix string = ''
@description('Whether an ABAC condition limits the app\'s writes to paths below analytics/.')
param narrowWrites bool = true

@description('The Cosmos DB account for the metadata, with database makoto-db and container metadata.')
@minLength(3)
@maxLength(44)
param cosmosAccountName string
param cosmosResourceGroup string = resourceGroup().name
@description('Whether to create account, database and container. False if the platform has them.')
param createCosmos bool = false
@description('The guide\'s COSMOS_ENDPOINT.')
param cosmosEndpoint string = 'https://${cosmosAccountName}.documents.azure.com:443/'

@description('URL of the Databricks workspace: https://adb-….azuredatabricks.net')
@minLength(12)
param databricksHost string
@description('Name or id of the bundle\'s job for large days.')
param databricksJob string = 'makoto-daily-messages'

@description('When the nightly run starts: NCRONTAB in UTC, the only time zone of Flex Consumption. 17:00 is 02:00 JST.')
param schedule string = '0 0 17 * * *'
@description('Whether the timer starts the nightly run. The watcher runs in either case.')
param scheduleEnabled bool = true
@description('Comma-separated tenant ids, or * for all tenants in the metadata. The guide\'s TENANT_ID.')
@minLength(1)
param tenantId string = '*'
@description('The time zone of the business day. The setting BATCH_TIMEZONE.')
param batchTimezone string = 'Asia/Tokyo'
@description('Which day the nightly run processes, relative to its own; -1 is the day before. The guide\'s TARGET_DATE_OFFSET.')
@minValue(-366)
@maxValue(-1)
param targetDateOffset int = -1
@description('How many earlier days the nightly run also checks, and runs again if their messages changed.')
@minValue(0)
@maxValue(31)
param lookBack int = 3
@description('How to find active rooms: by listing the container, or in the metadata.')
@allowed(['listing', 'metadata'])
param discovery string = 'listing'
@description('How often a day is submitted if its run ends without publishing tables.')
@minValue(1)
@maxValue(10)
param maxAttempts int = 3
@description('Most USD that one run of a day may cost by prediction, such as 2.50; a costlier run is not submitted, and neither is one of unknown cost. 0 is no ceiling.')
param maxUsd string = '0'
@description('Minutes that a run may wait for a cluster before it is cancelled and the day queued again.')
@minValue(15)
@maxValue(720)
param jobWaitMinutes int = 60
@description('Minutes that a run may take; at least the bundle\'s timeout.')
@minValue(15)
@maxValue(10080)
param jobTimeoutMinutes int = 360

@description('Memory of an instance in MB. 4096 is the largest size of Flex Consumption, with two cores.')
@allowed([2048, 4096])
param instanceMemoryMB int = 4096
@description('Instances in parallel, each with one day. 40 is the smallest value of Flex Consumption.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40
@description('The queue of tenant-days in the host\'s account. The host creates its -poison queue.')
@minLength(3)
@maxLength(56)
param taskQueue string = 'makoto-tasks'

@description('An existing key vault. Only for the three entries below.')
param keyVaultName string = ''
param keyVaultResourceGroup string = resourceGroup().name
@description('The vault entry for the guide\'s AZURE_STORAGE_CONNECTION_STRING. Empty to use the app\'s identity.')
param connectionStringEntry string = ''
@description('The vault entry for the guide\'s COSMOS_KEY. Empty to use the app\'s identity.')
param cosmosKeyEntry string = ''
@description('The vault entry for the URL of the webhook to which the nightly summary is posted. Empty for none.')
param notifyUrlEntry string = ''

@description('How many days logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90
@description('Percentage of rejected records in a day above which an alarm sounds. 100 for no alarm.')
@minValue(0)
@maxValue(100)
param rejectPercentLimit int = 5
@description('Id of an existing action group for alarms. Empty to create one.')
param actionGroupId string = ''
@description('Mail address in the created action group. Empty for none.')
param alarmEmail string = ''

var suffix = uniqueString(resourceGroup().id, namePrefix)
var packageContainer = 'app-package'
var vaultReference = '@Microsoft.KeyVault(VaultName=${keyVaultName}'
var dataHost = '${dataAccountName}.dfs.${environment().suffixes.storage}'
var hostRoles = [
  {
    id: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner
    reason: 'The host stores leases, timers, keys and the package in blobs, in containers that it creates'
  }
  {
    id: '974c5e8b-45b9-4653-ba55-5f855dd0fb88' // Storage Queue Data Contributor
    reason: 'The app sends and receives tenant-days, and the host creates the poison queue'
  }
  {
    id: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor
    reason: 'The host writes startup problems into a table that it creates'
  }
]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${namePrefix}-identity'
  location: location
  tags: tags
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${namePrefix}-logs'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: logRetentionDays
    features: { disableLocalAuth: true }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: '${namePrefix}-insights'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
  }
}

// The host's account. It holds only tenant names and days of tasks.
resource hostAccount 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: take('makoto${suffix}', 24)
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: hostAccount
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: packageContainer
  properties: { publicAccess: 'None' }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2023-05-01' = {
  parent: hostAccount
  name: 'default'
}

resource tasks 'Microsoft.Storage/storageAccounts/queueServices/queues@2023-05-01' = {
  parent: queues
  name: taskQueue
}

resource hostAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in hostRoles: {
    name: guid(hostAccount.id, identity.id, role.id)
    scope: hostAccount
    properties: {
      principalId: identity.properties.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      description: role.reason
    }
  }
]

resource telemetryAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, identity.id, '3913510d-42f4-4e42-8a64-420c390055eb')
  scope: insights
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      '3913510d-42f4-4e42-8a64-420c390055eb' // Monitoring Metrics Publisher
    )
    description: 'The host sends logs and the functions metrics; nothing is accepted without an identity'
  }
}

module dataAccess 'data-access.bicep' = {
  name: '${namePrefix}-data-access'
  scope: resourceGroup(dataResourceGroup)
  params: {
    accountName: dataAccountName
    messageContainer: dataContainer
    tableContainer: outputContainer
    tablePrefix: outputPrefix
    narrowWrites: narrowWrites
    identityId: identity.id
    principalId: identity.properties.principalId
  }
}

module metadataAccess 'metadata.bicep' = {
  name: '${namePrefix}-metadata'
  scope: resourceGroup(cosmosResourceGroup)
  params: {
    accountName: cosmosAccountName
    create: createCosmos
    allowKeys: !empty(cosmosKeyEntry)
    location: location
    tags: tags
    identityId: identity.id
    principalId: identity.properties.principalId
  }
}

module vaultAccess 'vault-access.bicep' = if (!empty(keyVaultName)) {
  name: '${namePrefix}-vault-access'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: keyVaultName
    entries: filter([connectionStringEntry, cosmosKeyEntry, notifyUrlEntry], entry => !empty(entry))
    identityId: identity.id
    principalId: identity.properties.principalId
  }
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: '${namePrefix}-plan'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: '${namePrefix}-${suffix}'
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostAccount.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
      }
      runtime: {
        name: 'python'
        version: '3.12'
      }
    }
  }
  dependsOn: [packages, hostAccess]
}

// A user or pipeline publishes with its own identity, never with the app's user name and password.
resource ftpPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource scmPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(
    {
      AzureWebJobsStorage__blobServiceUri: hostAccount.properties.primaryEndpoints.blob
      AzureWebJobsStorage__queueServiceUri: hostAccount.properties.primaryEndpoints.queue
      AzureWebJobsStorage__tableServiceUri: hostAccount.properties.primaryEndpoints.table
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identity.properties.clientId}'
      WEBSITE_CLOUD_ROLENAME: namePrefix
      'AzureWebJobs.night.Disabled': scheduleEnabled ? 'false' : 'true'
      AZURE_CLIENT_ID: identity.properties.clientId
      // No other identity is tried, so a wrong client id fails at once with that message.
      AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential'
      TENANT_ID: tenantId
      TARGET_DATE_OFFSET: string(targetDateOffset)
      BATCH_TIMEZONE: batchTimezone
      COSMOS_ENDPOINT: cosmosEndpoint
      MAKOTO_INPUT: 'abfss://${dataContainer}@${dataHost}/${dataPrefix}'
      MAKOTO_OUTPUT: 'abfss://${outputContainer}@${dataHost}/${outputPrefix}'
      MAKOTO_DISCOVERY: discovery
      MAKOTO_LOOK_BACK: string(lookBack)
      MAKOTO_FUNCTION_MEMORY_MB: string(instanceMemoryMB)
      MAKOTO_SPARK: 'databricks'
      MAKOTO_DATABRICKS_HOST: databricksHost
      MAKOTO_DATABRICKS_JOB: databricksJob
      MAKOTO_DATABRICKS_CLIENT_ID: identity.properties.clientId
      MAKOTO_JOB_WAIT_MINUTES: string(jobWaitMinutes)
      MAKOTO_JOB_TIMEOUT_MINUTES: string(jobTimeoutMinutes)
      MAKOTO_MAX_ATTEMPTS: string(maxAttempts)
      MAKOTO_MAX_USD: maxUsd
      // Two polls of the function watch, because Databricks sends no events.
      MAKOTO_DRIFT_MINUTES: '10'
      MAKOTO_SCHEDULE: schedule
      MAKOTO_TASK_QUEUE: taskQueue
    },
    empty(connectionStringEntry)
      ? {}
      : { AZURE_STORAGE_CONNECTION_STRING: '${vaultReference};SecretName=${connectionStringEntry})' },
    empty(cosmosKeyEntry)
      ? {}
      : { COSMOS_KEY: '${vaultReference};SecretName=${cosmosKeyEntry})' },
    empty(notifyUrlEntry)
      ? {}
      : { MAKOTO_NOTIFY_URL: '${vaultReference};SecretName=${notifyUrlEntry})' }
  )
  dependsOn: [tasks, telemetryAccess, dataAccess, metadataAccess, vaultAccess]
}

module alarms 'alarms.bicep' = {
  name: '${namePrefix}-alarms'
  params: {
    namePrefix: namePrefix
    location: location
    tags: tags
    insightsId: insights.id
    nightBeginsByItself: scheduleEnabled
    rejectPercentLimit: rejectPercentLimit
    actionGroupId: actionGroupId
    alarmEmail: alarmEmail
  }
}

output functionAppName string = app.name
output startUrl string = 'https://${app.properties.defaultHostName}/api/start'
output hostAccountName string = hostAccount.name
output taskQueue string = tasks.name
output poisonQueue string = '${tasks.name}-poison'
@description('The service principal that the Databricks workspace must know and allow to run the job.')
output identityClientId string = identity.properties.clientId
output identityPrincipalId string = identity.properties.principalId
output insightsName string = insights.name
output workspaceName string = workspace.name
output actionGroupId string = alarms.outputs.actionGroupId
