#!/bin/sh
# What setup would do. It is not in setup's ledger, so `setup destroy` will leave it.
set -eu

# create ResourceGroup walk
az group create --subscription 11111111-2222-3333-4444-555555555555 --name 'walk' --location 'WestUS2'

# create ManagedIdentity identityA
az identity create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'identityA' --location 'WestUS2'
sleep 20 # until Azure knows it everywhere

# create FederatedCredential identityA/ns-sa-a6dae7dd
az identity federated-credential create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --identity-name 'identityA' --name 'ns-sa-a6dae7dd' \
  --issuer 'https://issuer.test/it'\''s' --subject 'system:serviceaccount:ns:sa' --audiences 'api://AzureADTokenExchange'

# create ServiceAccount ns/sa
client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'identityA' --query clientId --output tsv)
tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'identityA' --query tenantId --output tsv)
kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
apiVersion: v1
kind: ServiceAccount
metadata:
  name: "sa"
  namespace: "ns"
  annotations:
    azure.workload.identity/client-id: "$client_id"
    azure.workload.identity/tenant-id: "$tenant_id"
END

# assign Role identityA/Reader
principal_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'identityA' --query principalId --output tsv)
az role assignment create --role 'acdd72a7-3385-48ef-bd42-f606fba81ae7' --scope '/subscriptions/s/resourceGroups/a (b)' \
  --assignee-object-id "$principal_id" --assignee-principal-type ServicePrincipal
