#!/bin/sh
# Takes back what set-up.sh made, last things first.
set -eux
. "$(dirname "$0")/variables.sh"

kubectl delete pod httpbin-pod --namespace "$SERVICE_ACCOUNT_NAMESPACE"
kubectl delete serviceaccount "$SERVICE_ACCOUNT_NAME" --namespace "$SERVICE_ACCOUNT_NAMESPACE"
kubectl delete namespace "$SERVICE_ACCOUNT_NAMESPACE"
az identity federated-credential delete --yes --name "$FEDERATED_CREDENTIAL" --identity-name "$IDENTITY" --resource-group "$RESOURCE_GROUP"
az role assignment delete --assignee "$(az identity show --resource-group "$RESOURCE_GROUP" --name "$IDENTITY" --query clientId --output tsv)" \
  --scope "/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$RESOURCE_GROUP"
az identity delete --name "$IDENTITY" --resource-group "$RESOURCE_GROUP"
az group delete --yes --name "$RESOURCE_GROUP"
