// The platform's metadata in Cosmos DB, and the ledger in it. Made here only where there is none.

@minLength(3)
param accountName string
param create bool
@description('Whether COSMOS_KEY works too; only for an account that is made here.')
param allowKeys bool
param location string
param tags object
param identityId string
param principalId string

// The names of daily_batch.metadata.cosmos.
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
      // Two programs with ids of their own make still cannot write an item twice.
      uniqueKeyPolicy: {
        uniqueKeys: [{ paths: ['/SK'] }]
      }
    }
  }
}

// A data-plane role, for Azure's own open no item. It takes no description: it reads the metadata and keeps the ledger.
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
