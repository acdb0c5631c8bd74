// MAKOTO daily batch on Azure: at 02:00 JST each tenant's previous day of messages becomes tables, in a function or on
// Databricks. docs/deploy-azure.md leads from a subscription to the first night, and says why each permission is there.
// The job on Databricks is the bundle's (databricks.yml); the account of messages and tables is there already.

targetScope = 'resourceGroup'

@description('What all names begin with; another one for each deployment.')
@minLength(3)
@maxLength(40)
param namePrefix string = 'makoto-daily-batch'
@description('Where everything is made; the region of the messages.')
param location string = resourceGroup().location
param tags object = {}

@description('The storage account of messages and tables, which is there already.')
@minLength(3)
@maxLength(24)
param dataAccountName string
param dataResourceGroup string = resourceGroup().name
@description('The container of the messages.')
@minLength(3)
@maxLength(63)
param dataContainer string
@description('What stands before the tenants\' folders in it, ending in a slash; empty for nothing.')
param dataPrefix string = ''
@description('The container of the tables, in the same account.')
@minLength(3)
@maxLength(63)
param outputContainer string = dataContainer
@description('What stands before the tenants\' folders there, ending in a slash; empty for nothing.')
param outputPrefix string = ''
@description('Whether the app may write below analytics/ only (an ABAC condition), or anywhere in the container.')
param narrowWrites bool = true

@description('The Cosmos DB account of the metadata, with database makoto-db and container metadata.')
@minLength(3)
@maxLength(44)
param cosmosAccountName string
param cosmosResourceGroup string = resourceGroup().name
@description('Whether account, database and container are made here; false where the platform has them already.')
param createCosmos bool = false
@description('The guide\'s COSMOS_ENDPOINT.')
param cosmosEndpoint string = 'https://${cosmosAccountName}.documents.azure.com:443/'

@description('https://adb-….azuredatabricks.net')
@minLength(12)
param databricksHost string
@description('The bundle\'s job for large days: its name, or its id.')
param databricksJob string = 'makoto-daily-messages'

@description('When the night begins: NCRONTAB in UTC, for Flex Consumption knows no other zone. 17:00 is 02:00 JST.')
param schedule string = '0 0 17 * * *'
@description('Whether the night begins by itself. Submitted runs are looked after in either case.')
param scheduleEnabled bool = true
@description('The tenants, with commas between them; * for every tenant of the metadata. The guide\'s TENANT_ID.')
@minLength(1)
param tenantId string = '*'
@description('The time zone of the business day. BATCH_TIMEZONE.')
param batchTimezone string = 'Asia/Tokyo'
@description('Which day a night is about, from its own; -1 is the day before. The guide\'s TARGET_DATE_OFFSET.')
@minValue(-366)
@maxValue(-1)
param targetDateOffset int = -1
@description('How many days before it are looked at too, and run again if their messages changed.')
@minValue(0)
@maxValue(31)
param lookBack int = 3
@description('How active rooms are found: by listing the container, or by the metadata.')
@allowed(['listing', 'metadata'])
param discovery string = 'listing'
@description('How often a day is submitted whose run ends without tables.')
@minValue(1)
@maxValue(10)
param maxAttempts int = 3
@description('How long a run may wait for a cluster before it is cancelled and asked for again.')
@minValue(15)
@maxValue(720)
param jobWaitMinutes int = 60
@description('How long a run may take; not less than the bundle\'s timeout.')
@minValue(15)
@maxValue(10080)
param jobTimeoutMinutes int = 360

@description('MB of an instance; 4096 is the most that Flex Consumption has, and two cores.')
@allowed([2048, 4096])
param instanceMemoryMB int = 4096
@description('Instances at once, each with one day; 40 is the least that can be set.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40
@description('The queue of tenant-days in the host\'s account; the host makes its -poison queue.')
@minLength(3)
@maxLength(56)
param taskQueue string = 'makoto-tasks'

@description('A key vault that is there already; only for the two entries below.')
param keyVaultName string = ''
param keyVaultResourceGroup string = resourceGroup().name
@description('The vault\'s entry for the guide\'s AZURE_STORAGE_CONNECTION_STRING; empty: the app\'s identity serves.')
param connectionStringEntry string = ''
@description('The vault\'s entry for the guide\'s COSMOS_KEY; empty: the app\'s identity serves.')
param cosmosKeyEntry string = ''

@description('How long logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90
@description('Of a day\'s records, in percent; a day with more rejected sets off an alarm. 100 for none.')
@minValue(0)
@maxValue(100)
param rejectPercentLimit int = 5
@description('The id of an action group that alarms are told to; empty for one of this deployment\'s own.')
param actionGroupId string = ''
@description('An address that the own action group tells of alarms; empty for none.')
param alarmEmail string = ''

var suffix = uniqueString(resourceGroup().id, namePrefix)
var packageContainer = 'app-package'
var vaultReference = '@Microsoft.KeyVault(VaultName=${keyVaultName}'
var dataHost = '${dataAccountName}.dfs.${environment().suffixes.storage}'
var hostRoles = [
  {
    id: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner
    reason: 'The host keeps its leases, timers, keys and the package in blobs, in containers that it makes itself'
  }
  {
    id: '974c5e8b-45b9-4653-ba55-5f855dd0fb88' // Storage Queue Data Contributor
    reason: 'The app sends and takes tenant-days, and the host makes the poison queue'
  }
  {
    id: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor
    reason: 'The host writes what went wrong at its start into a table that it makes itself'
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

// The host's own account: nothing of the tenants is in it but the names and days of tasks.
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
    description: 'The host sends logs, the functions metrics; they are taken from no one without an identity'
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
    entries: filter([connectionStringEntry, cosmosKeyEntry], entry => !empty(entry))
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

// Publishing is by a person's or a pipeline's own identity, never by the app's user name and password.
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
      // No other identity is looked for: a wrong client id is said as that, and at once.
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
      // Nobody tells of a run's end: two looks of the function watch.
      MAKOTO_DRIFT_MINUTES: '10'
      MAKOTO_SCHEDULE: schedule
      MAKOTO_TASK_QUEUE: taskQueue
    },
    empty(connectionStringEntry)
      ? {}
      : { AZURE_STORAGE_CONNECTION_STRING: '${vaultReference};SecretName=${connectionStringEntry})' },
    empty(cosmosKeyEntry)
      ? {}
      : { COSMOS_KEY: '${vaultReference};SecretName=${cosmosKeyEntry})' }
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
@description('The service principal that the workspace of Databricks must know and let run the job.')
output identityClientId string = identity.properties.clientId
output identityPrincipalId string = identity.properties.principalId
output insightsName string = insights.name
output workspaceName string = workspace.name
output actionGroupId string = alarms.outputs.actionGroupId
