// Only for the guide's AZURE_STORAGE_CONNECTION_STRING and COSMOS_KEY: which entries of a vault the app may read.

@minLength(3)
param vaultName string
@description('The entries\' names.')
param entries array
param identityId string
param principalId string

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

resource entry 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = [
  for name in entries: {
    parent: vault
    name: name
  }
]

resource readEntry 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, number) in entries: {
    name: guid(vault.id, name, identityId, secretsUser)
    scope: entry[number]
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
      description: 'The app setting that refers to this entry is filled with it; no other entry can be read'
    }
  }
]
