// The app's roles in the existing storage account for messages and tables.

@minLength(3)
param accountName string
param messageContainer string
param tableContainer string
@description('Prefix of the tenant folders of the tables, ending in a slash, or empty.')
param tablePrefix string
param narrowWrites bool
param identityId string
param principalId string

var contributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor
var reader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1' // Storage Blob Data Reader
var blobs = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs'
var path = '@Resource[${blobs}:path]'
// A role is limited to a container, the condition to paths in it. Writes below folders named chat or exports are denied
// wherever they are in the path, because a room can be named analytics.
var onlyTables = '''
(
  (
    !(ActionMatches{'{0}/write'})
    AND !(ActionMatches{'{0}/add/action'})
    AND !(ActionMatches{'{0}/delete'})
    AND !(ActionMatches{'{0}/move/action'})
  )
  OR
  (
    {1} StringLike '{2}*/analytics/*'
    AND {1} StringNotLike '*/chat/*'
    AND {1} StringNotLike '*/exports/*'
  )
)
'''

var condition = replace(replace(replace(onlyTables, '{0}', blobs), '{1}', path), '{2}', tablePrefix)

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: accountName
}

resource service 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' existing = {
  parent: account
  name: 'default'
}

resource messages 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' existing = {
  parent: service
  name: messageContainer
}

resource tables 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' existing = {
  parent: service
  name: tableContainer
}

resource readMessages 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (messageContainer != tableContainer) {
  name: guid(messages.id, identityId, reader)
  scope: messages
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', reader)
    description: 'The app lists and reads the messages of all tenants'
  }
}

resource writeTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(tables.id, identityId, contributor)
  scope: tables
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', contributor)
    description: 'The app writes tables and receipts below analytics/, and deletes files that a new run replaces'
    condition: narrowWrites ? condition : null
    conditionVersion: narrowWrites ? '2.0' : null
  }
}
