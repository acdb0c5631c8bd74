// The platform's metadata, including the ledger, in Cosmos DB. Created here only on request.

@minLength(3)
param accountName string
param create bool
@description('Whether COSMOS_KEY is accepted too. Only for an account that is created here.')
param allowKeys bool
param location string
param tags object
param identityId string
param principalId string

// As in daily_batch.metadata.cosmos.
var databaseName = 'makoto-db'
var containerName = 'metadata'
var dataContributor = '00000000-0000-0000-0000-000000000002' // Cosmos DB Built-in Data Contributor

resource account 'Microsoft.DocumentDB/databaseAccounts@2024-11-15' = if (create) {
  name: accountName
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: [{ name: 'EnableServerless' }]
    locations: [{ locationName: location, failoverPriority: 0 }]
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: { tier: 'Continuous7Days' }
    }
    minimalTlsVersion: 'Tls12'
    disableLocalAuth: !allowKeys
    disableKeyBasedMetadataWriteAccess: true
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-11-15' = if (create) {
  parent: account
  name: databaseName
  properties: {
    resource: { id: databaseName }
  }
}

resource container 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-11-15' = if (create) {
  parent: database
  name: containerName
  properties: {
    resource: {
      id: containerName
      partitionKey: {
        kind: 'Hash'
        paths: ['/PK']
        version: 2
      }
      // Prevents two items with one key but different ids.
      uniqueKeyPolicy: {
        uniqueKeys: [{ paths: ['/SK'] }]
      }
    }
  }
}

// A data-plane role, because Azure's own roles open no item. It has no description: it reads the metadata and changes ledger items.
resource keepLedger 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: account
  name: guid(account.id, identityId, dataContributor, containerName)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${databaseName}/colls/${containerName}'
  }
  dependsOn: [container]
}
