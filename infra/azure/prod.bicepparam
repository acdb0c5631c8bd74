using 'main.bicep'

// Names of your environment: without these variables nothing is deployed.
param dataAccountName = readEnvironmentVariable('DATA_ACCOUNT')
param dataContainer = readEnvironmentVariable('DATA_CONTAINER')
param cosmosAccountName = readEnvironmentVariable('COSMOS_ACCOUNT')
param databricksHost = readEnvironmentVariable('DATABRICKS_HOST')
// Their resource groups, which can be this deployment's.
param dataResourceGroup = readEnvironmentVariable('DATA_GROUP')
param cosmosResourceGroup = readEnvironmentVariable('COSMOS_GROUP')

param tags = { application: 'makoto-daily-batch', stage: 'prod' }
