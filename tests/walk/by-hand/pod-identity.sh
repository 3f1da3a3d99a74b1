# `az aks pod-identity add` and `delete`. They are in the extension aks-preview, which is in no package registry; this
# is what they do: read the cluster, change one list, put the whole cluster back, wait. `add` also gives the cluster's
# own identity a role over the pod's, which is left out here.

pod_identity() { # an expression of the new podIdentityProfile, by JMESPath from the cluster's properties
  url="/subscriptions/$SUBSCRIPTION_ID/resourceGroups/$CLUSTER_RESOURCE_GROUP/providers/Microsoft.ContainerService/managedClusters/$CLUSTER_NAME?api-version=2026-08-01"
  # Read first, so that the cluster can't have changed since.
  etag=$(az rest --method get --url "$url" --query eTag --output tsv)
  az rest --method get --url "$url" --query "merge(@, {properties: properties.merge(@, {podIdentityProfile: $1})})" > cluster.json
  az rest --method put --url "$url" --headers "If-Match=$etag" --body @cluster.json --output none
  az aks wait --name "$CLUSTER_NAME" --resource-group "$CLUSTER_RESOURCE_GROUP" --updated
}

pod_identity_add() { # name, namespace, {resourceId, clientId, objectId} of the managed identity
  pod_identity "{enabled: \`true\`, userAssignedIdentities: [{name: '$1', namespace: '$2', identity: \`$3\`}]}"
}

pod_identity_delete() { # name, namespace
  pod_identity "merge(podIdentityProfile, {userAssignedIdentities: podIdentityProfile.userAssignedIdentities[?name != '$1' || namespace != '$2']})"
}
