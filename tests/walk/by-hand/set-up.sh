#!/bin/sh
# The commands of the AKS article on migrating from pod-managed identity to workload identity, in its order. Where it
# takes something for granted, that is made first: the group, the pod-managed identity, the namespace.
set -eux
. "$(dirname "$0")/variables.sh"
. "$(dirname "$0")/pod-identity.sh"

# A managed identity, and what it may do.
az account set --subscription "$SUBSCRIPTION_ID"
az group create --name "$RESOURCE_GROUP" --location "$LOCATION"
az identity create --name "$IDENTITY" --resource-group "$RESOURCE_GROUP" --location "$LOCATION" --subscription "$SUBSCRIPTION_ID"
USER_ASSIGNED_CLIENT_ID="$(az identity show --resource-group "$RESOURCE_GROUP" --name "$IDENTITY" --query clientId --output tsv)"
az role assignment create --role Reader --assignee "$USER_ASSIGNED_CLIENT_ID" --scope "/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$RESOURCE_GROUP"

# The way pods had it so far.
pod_identity_add "$POD_IDENTITY" "$SERVICE_ACCOUNT_NAMESPACE" "$(az identity show --resource-group "$RESOURCE_GROUP" --name "$IDENTITY" --query '{resourceId: id, clientId: clientId, objectId: principalId}')"

# The issuer of the cluster's tokens, and the cluster.
AKS_OIDC_ISSUER="$(az aks show --name "$CLUSTER_NAME" --resource-group "$CLUSTER_RESOURCE_GROUP" --query oidcIssuerProfile.issuerUrl --output tsv)"
az aks get-credentials --name "$CLUSTER_NAME" --resource-group "$CLUSTER_RESOURCE_GROUP"

# A service account with the identity's client id.
kubectl create namespace "$SERVICE_ACCOUNT_NAMESPACE"
kubectl label namespace "$SERVICE_ACCOUNT_NAMESPACE" azure.workload.identity/use=true
kubectl apply --filename=- <<END
apiVersion: v1
kind: ServiceAccount
metadata:
  annotations:
    azure.workload.identity/client-id: $USER_ASSIGNED_CLIENT_ID
  name: $SERVICE_ACCOUNT_NAME
  namespace: $SERVICE_ACCOUNT_NAMESPACE
END

# The identity trusts it.
az identity federated-credential create --name "$FEDERATED_CREDENTIAL" --identity-name "$IDENTITY" --resource-group "$RESOURCE_GROUP" \
  --issuer "$AKS_OIDC_ISSUER" --subject "system:serviceaccount:$SERVICE_ACCOUNT_NAMESPACE:$SERVICE_ACCOUNT_NAME" --audience api://AzureADTokenExchange

# A pod that asks for the sidecar. `kubectl logs`, which comes next, needs a node: `make e2e-node` has one.
kubectl apply --namespace "$SERVICE_ACCOUNT_NAMESPACE" --filename pod.yaml
kubectl describe pods httpbin-pod --namespace "$SERVICE_ACCOUNT_NAMESPACE"
