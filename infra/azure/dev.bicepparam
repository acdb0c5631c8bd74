using 'main.bicep'

// A trial beside prod: its own metadata account, no schedule, its own container for tables.
param namePrefix = 'makoto-daily-batch-dev'
param dataAccountName = readEnvironmentVariable('DATA_ACCOUNT')
param dataContainer = readEnvironmentVariable('DATA_CONTAINER')
param dataResourceGroup = readEnvironmentVariable('DATA_GROUP')
param outputContainer = readEnvironmentVariable('TRIAL_CONTAINER')
param cosmosAccountName = readEnvironmentVariable('TRIAL_COSMOS_ACCOUNT')
param createCosmos = true
param databricksHost = readEnvironmentVariable('DATABRICKS_HOST')
param databricksJob = readEnvironmentVariable('TRIAL_JOB')
param scheduleEnabled = false
param logRetentionDays = 30

param tags = { application: 'makoto-daily-batch', stage: 'dev' }
