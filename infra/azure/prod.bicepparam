using 'main.bicep'

// Names that no repository can know: without these variables nothing is deployed.
param dataAccountName = readEnvironmentVariable('DATA_ACCOUNT')
param dataContainer = readEnvironmentVariable('DATA_CONTAINER')
param cosmosAccountName = readEnvironmentVariable('COSMOS_ACCOUNT')
param databricksHost = readEnvironmentVariable('DATABRICKS_HOST')
// In which resource groups they are, if not in this deployment's own.
param dataResourceGroup = readEnvironmentVariable('DATA_GROUP')
param cosmosResourceGroup = readEnvironmentVariable('COSMOS_GROUP')

param tags = { application: 'makoto-daily-batch', stage: 'prod' }
