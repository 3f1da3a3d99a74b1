#!/bin/sh
# What setup would do. It is not in setup's ledger, so `setup destroy` will leave it.
set -eu

# create ResourceGroup walk
az group create --subscription 11111111-2222-3333-4444-555555555555 --name 'walk' --location 'West US 2'

# create ManagedIdentity 1-new
az identity create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --location 'West US 2'
sleep 20 # until Azure knows it everywhere

# create FederatedCredential 1-new/ns-sa-0027fd55
az identity federated-credential create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --identity-name '1-new' --name 'ns-sa-0027fd55' \
  --issuer 'https://issuer.test/it'\''s/' --subject 'system:serviceaccount:ns:sa' --audiences 'api://it'\''s-"a"-${b}-$${c}-%{d}-\e-`f`-$(g)-//h'

# create FederatedCredential 1-new/ns-my-sb-892da466
az identity federated-credential create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --identity-name '1-new' --name 'ns-my-sb-892da466' \
  --issuer 'https://issuer.test/it'\''s/' --subject 'system:serviceaccount:ns:my.sb' --audiences 'api://it'\''s-"a"-${b}-$${c}-%{d}-\e-`f`-$(g)-//h'

# create FederatedCredential 1-new/ns-my-sb-09d1c147
az identity federated-credential create --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --identity-name '1-new' --name 'ns-my-sb-09d1c147' \
  --issuer 'https://issuer.test/it'\''s/' --subject 'system:serviceaccount:ns:my-sb' --audiences 'api://it'\''s-"a"-${b}-$${c}-%{d}-\e-`f`-$(g)-//h'

# assign Role 1-new/Key Vault Reader
principal_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query principalId --output tsv)
az role assignment create --role '21090545-7ca7-4776-b22c-e363652d74d2' --scope '/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Walk' \
  --assignee-object-id "$principal_id" --assignee-principal-type ServicePrincipal

# assign Role 1-new/Key Vault Reader
principal_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query principalId --output tsv)
az role assignment create --role '21090545-7ca7-4776-b22c-e363652d74d2' --scope '/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a'\''(b)/${c}' \
  --assignee-object-id "$principal_id" --assignee-principal-type ServicePrincipal

# create ServiceAccount ns/sa
client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
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

# annotate ServiceAccount ns/my.sb
client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
apiVersion: v1
kind: ServiceAccount
metadata:
  name: "my.sb"
  namespace: "ns"
  annotations:
    azure.workload.identity/client-id: "$client_id"
    azure.workload.identity/tenant-id: "$tenant_id"
END

# create ServiceAccount ns/my-sb
client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
apiVersion: v1
kind: ServiceAccount
metadata:
  name: "my-sb"
  namespace: "ns"
  annotations:
    azure.workload.identity/client-id: "$client_id"
    azure.workload.identity/tenant-id: "$tenant_id"
END

# update FederatedCredential there/theirs
az identity federated-credential update --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --identity-name 'there' --name 'theirs' \
  --issuer 'https://issuer.test/it'\''s/' --subject 'system:serviceaccount:ns:old' --audiences 'api://it'\''s-"a"-${b}-$${c}-%{d}-\e-`f`-$(g)-//h'

# assign Role there/Reader
principal_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query principalId --output tsv)
az role assignment create --role 'acdd72a7-3385-48ef-bd42-f606fba81ae7' --scope '/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/walk' \
  --assignee-object-id "$principal_id" --assignee-principal-type ServicePrincipal

# annotate ServiceAccount ns/old
client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query clientId --output tsv)
tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query tenantId --output tsv)
kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
apiVersion: v1
kind: ServiceAccount
metadata:
  name: "old"
  namespace: "ns"
  annotations:
    azure.workload.identity/client-id: "$client_id"
    azure.workload.identity/tenant-id: "$tenant_id"
END
