#!/bin/sh
# The article's last command: the pod has its token through the sidecar, so the pod-managed identity goes.
set -eux
. "$(dirname "$0")/variables.sh"
. "$(dirname "$0")/pod-identity.sh"

pod_identity_delete "$POD_IDENTITY" "$SERVICE_ACCOUNT_NAMESPACE"
az aks show --name "$CLUSTER_NAME" --resource-group "$CLUSTER_RESOURCE_GROUP" --query podIdentityProfile.userAssignedIdentities
