# What setup would do. It is not in setup's ledger, so `setup destroy` will leave it.
#
# Save it as setup.tf, then run:
#   terraform init
#   terraform apply
#   sed -n 's|^#[$] ||p' setup.tf | sh -eu   # the commands at its end

terraform {
  required_version = ">= 1.5"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.65, < 6"
    }
  }
}

provider "azurerm" {
  features {}
  subscription_id = "11111111-2222-3333-4444-555555555555"
}

# create ResourceGroup walk
resource "azurerm_resource_group" "group" {
  name     = "walk"
  location = "West US 2"
}

# create ManagedIdentity 1-new
resource "azurerm_user_assigned_identity" "_1_new" {
  name                = "1-new"
  resource_group_name = azurerm_resource_group.group.name
  location            = "West US 2"
}

# create FederatedCredential 1-new/ns-sa-0027fd55
resource "azurerm_federated_identity_credential" "ns_sa_0027fd55" {
  name                      = "ns-sa-0027fd55"
  user_assigned_identity_id = azurerm_user_assigned_identity._1_new.id
  issuer                    = "https://issuer.test/it's/"
  subject                   = "system:serviceaccount:ns:sa"
  audience                  = ["api://it's-\"a\"-$${b}-$$${c}-%%{d}-\\e-`f`-$(g)-//h"]
}

# create FederatedCredential 1-new/ns-my-sb-892da466
resource "azurerm_federated_identity_credential" "ns_my_sb_892da466" {
  name                      = "ns-my-sb-892da466"
  user_assigned_identity_id = azurerm_user_assigned_identity._1_new.id
  issuer                    = "https://issuer.test/it's/"
  subject                   = "system:serviceaccount:ns:my.sb"
  audience                  = ["api://it's-\"a\"-$${b}-$$${c}-%%{d}-\\e-`f`-$(g)-//h"]
  depends_on                = [azurerm_federated_identity_credential.ns_sa_0027fd55]
}

# create FederatedCredential 1-new/ns-my-sb-09d1c147
resource "azurerm_federated_identity_credential" "ns_my_sb_09d1c147" {
  name                      = "ns-my-sb-09d1c147"
  user_assigned_identity_id = azurerm_user_assigned_identity._1_new.id
  issuer                    = "https://issuer.test/it's/"
  subject                   = "system:serviceaccount:ns:my-sb"
  audience                  = ["api://it's-\"a\"-$${b}-$$${c}-%%{d}-\\e-`f`-$(g)-//h"]
  depends_on                = [azurerm_federated_identity_credential.ns_my_sb_892da466]
}

# assign Role 1-new/Key Vault Reader
resource "azurerm_role_assignment" "_1_new_Key_Vault_Reader" {
  name               = uuidv5("url", lower("/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Walk|${azurerm_user_assigned_identity._1_new.principal_id}|21090545-7ca7-4776-b22c-e363652d74d2"))
  scope              = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Walk"
  role_definition_id = "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Authorization/roleDefinitions/21090545-7ca7-4776-b22c-e363652d74d2"
  principal_id       = azurerm_user_assigned_identity._1_new.principal_id
  principal_type     = "ServicePrincipal"
}

# assign Role 1-new/Key Vault Reader
resource "azurerm_role_assignment" "_1_new_Key_Vault_Reader_2" {
  name               = uuidv5("url", lower("/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a'(b)/$${c}|${azurerm_user_assigned_identity._1_new.principal_id}|21090545-7ca7-4776-b22c-e363652d74d2"))
  scope              = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a'(b)/$${c}"
  role_definition_id = "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Authorization/roleDefinitions/21090545-7ca7-4776-b22c-e363652d74d2"
  principal_id       = azurerm_user_assigned_identity._1_new.principal_id
  principal_type     = "ServicePrincipal"
}

data "azurerm_user_assigned_identity" "there" {
  name                = "there"
  resource_group_name = azurerm_resource_group.group.name
}

# update FederatedCredential there/theirs
resource "azurerm_federated_identity_credential" "theirs" {
  name                      = "theirs"
  user_assigned_identity_id = data.azurerm_user_assigned_identity.there.id
  issuer                    = "https://issuer.test/it's/"
  subject                   = "system:serviceaccount:ns:old"
  audience                  = ["api://it's-\"a\"-$${b}-$$${c}-%%{d}-\\e-`f`-$(g)-//h"]
}

import {
  to = azurerm_federated_identity_credential.theirs
  id = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/walk/providers/Microsoft.ManagedIdentity/userAssignedIdentities/there/federatedIdentityCredentials/theirs"
}

# assign Role there/Reader
resource "azurerm_role_assignment" "there_Reader" {
  name               = uuidv5("url", lower("/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/walk|${data.azurerm_user_assigned_identity.there.principal_id}|acdd72a7-3385-48ef-bd42-f606fba81ae7"))
  scope              = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/walk"
  role_definition_id = "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
  principal_id       = data.azurerm_user_assigned_identity.there.principal_id
  principal_type     = "ServicePrincipal"
}

# What is left to az and kubectl:
#$ # create ServiceAccount ns/sa
#$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
#$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
#$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
#$ apiVersion: v1
#$ kind: ServiceAccount
#$ metadata:
#$   name: "sa"
#$   namespace: "ns"
#$   annotations:
#$     azure.workload.identity/client-id: "$client_id"
#$     azure.workload.identity/tenant-id: "$tenant_id"
#$ END
#$ # annotate ServiceAccount ns/my.sb
#$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
#$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
#$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
#$ apiVersion: v1
#$ kind: ServiceAccount
#$ metadata:
#$   name: "my.sb"
#$   namespace: "ns"
#$   annotations:
#$     azure.workload.identity/client-id: "$client_id"
#$     azure.workload.identity/tenant-id: "$tenant_id"
#$ END
#$ # create ServiceAccount ns/my-sb
#$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query clientId --output tsv)
#$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name '1-new' --query tenantId --output tsv)
#$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
#$ apiVersion: v1
#$ kind: ServiceAccount
#$ metadata:
#$   name: "my-sb"
#$   namespace: "ns"
#$   annotations:
#$     azure.workload.identity/client-id: "$client_id"
#$     azure.workload.identity/tenant-id: "$tenant_id"
#$ END
#$ # annotate ServiceAccount ns/old
#$ client_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query clientId --output tsv)
#$ tenant_id=$(az identity show --subscription 11111111-2222-3333-4444-555555555555 --resource-group 'walk' --name 'there' --query tenantId --output tsv)
#$ kubectl apply --server-side --field-manager=identity-injector --filename=- <<END
#$ apiVersion: v1
#$ kind: ServiceAccount
#$ metadata:
#$   name: "old"
#$   namespace: "ns"
#$   annotations:
#$     azure.workload.identity/client-id: "$client_id"
#$     azure.workload.identity/tenant-id: "$tenant_id"
#$ END
