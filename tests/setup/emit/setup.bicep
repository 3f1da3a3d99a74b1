// What setup would do. It is not in setup's ledger, so `setup destroy` will leave it.
//
// Save it as setup.bicep, then run:
//   az group create --subscription 11111111-2222-3333-4444-555555555555 --name 'walk' --location 'West US 2'
//   az deployment group create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --template-file setup.bicep
//   sed -n 's|^//[$] ||p' setup.bicep | sh -eu   # the commands at its end

targetScope = 'resourceGroup'

resource identity_1_new 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '1-new'
  location: 'West US 2'
}

// One after the other: Azure refuses two writes to one identity's credentials at once.
@batchSize(1)
resource credentials_1_new 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = [for credential in [
  {
    name: 'ns-sa-0027fd55'
    issuer: 'https://issuer.test/it\'s/'
    subject: 'system:serviceaccount:ns:sa'
    audience: 'api://it\'s-"a"-\${b}-$\${c}-%{d}-\\e-`f`-$(g)-//h'
  }
  {
    name: 'ns-my-sb-892da466'
    issuer: 'https://issuer.test/it\'s/'
    subject: 'system:serviceaccount:ns:my.sb'
    audience: 'api://it\'s-"a"-\${b}-$\${c}-%{d}-\\e-`f`-$(g)-//h'
  }
  {
    name: 'ns-my-sb-09d1c147'
    issuer: 'https://issuer.test/it\'s/'
    subject: 'system:serviceaccount:ns:my-sb'
    audience: 'api://it\'s-"a"-\${b}-$\${c}-%{d}-\\e-`f`-$(g)-//h'
  }
]: {
  parent: identity_1_new
  name: credential.name
  properties: {
    issuer: credential.issuer
    subject: credential.subject
    audiences: [
      credential.audience
    ]
  }
}]

// assign Role 1-new/Key Vault Reader, at walk
resource role_1_new_Key_Vault_Reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, identity_1_new.id, '21090545-7ca7-4776-b22c-e363652d74d2')
  properties: {
    roleDefinitionId: '/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Authorization/roleDefinitions/21090545-7ca7-4776-b22c-e363652d74d2'
    principalId: identity_1_new.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource identity_there 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: 'there'
}

// One after the other: Azure refuses two writes to one identity's credentials at once.
@batchSize(1)
resource credentials_there 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = [for credential in [
  {
    name: 'theirs'
    issuer: 'https://issuer.test/it\'s/'
    subject: 'system:serviceaccount:ns:old'
    audience: 'api://it\'s-"a"-\${b}-$\${c}-%{d}-\\e-`f`-$(g)-//h'
  }
]: {
  parent: identity_there
  name: credential.name
  properties: {
    issuer: credential.issuer
    subject: credential.subject
    audiences: [
      credential.audience
    ]
  }
}]

// assign Role there/Reader, at walk
resource role_there_Reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: 'daf5bf64-df85-54ef-a2e6-6fbf26fbd082'
  properties: {
    roleDefinitionId: '/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7'
    principalId: identity_there.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

// What is left to az and kubectl:
//$ # assign Role 1-new/Key Vault Reader
//$ principal_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query principalId --output tsv)
//$ az role assignment create --role '21090545-7ca7-4776-b22c-e363652d74d2' --scope '/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a'\''(b)/${c}' \
//$   --assignee-object-id "$principal_id" --assignee-principal-type ServicePrincipal
//$ # create ServiceAccount ns/sa
//$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
//$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
//$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
//$ apiVersion: v1
//$ kind: ServiceAccount
//$ metadata:
//$   name: "sa"
//$   namespace: "ns"
//$   annotations:
//$     azure.workload.identity/client-id: "$client_id"
//$     azure.workload.identity/tenant-id: "$tenant_id"
//$ END
//$ # annotate ServiceAccount ns/my.sb
//$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
//$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
//$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
//$ apiVersion: v1
//$ kind: ServiceAccount
//$ metadata:
//$   name: "my.sb"
//$   namespace: "ns"
//$   annotations:
//$     azure.workload.identity/client-id: "$client_id"
//$     azure.workload.identity/tenant-id: "$tenant_id"
//$ END
//$ # create ServiceAccount ns/my-sb
//$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
//$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
//$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
//$ apiVersion: v1
//$ kind: ServiceAccount
//$ metadata:
//$   name: "my-sb"
//$   namespace: "ns"
//$   annotations:
//$     azure.workload.identity/client-id: "$client_id"
//$     azure.workload.identity/tenant-id: "$tenant_id"
//$ END
//$ # annotate ServiceAccount ns/old
//$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query clientId --output tsv)
//$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query tenantId --output tsv)
//$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
//$ apiVersion: v1
//$ kind: ServiceAccount
//$ metadata:
//$   name: "old"
//$   namespace: "ns"
//$   annotations:
//$     azure.workload.identity/client-id: "$client_id"
//$     azure.workload.identity/tenant-id: "$tenant_id"
//$ END
