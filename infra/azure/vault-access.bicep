// The vault entries that the app may read. Only for the guide's AZURE_STORAGE_CONNECTION_STRING and COSMOS_KEY, and for the
// URL of a webhook.

@minLength(3)
param vaultName string
@description('Names of the entries.')
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
      description: 'The app reads this entry for the app setting that refers to it, and no other entry'
    }
  }
]
