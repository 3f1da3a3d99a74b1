# The names of the walk by hand, those of tests/walk/setup.yaml where it has them. $SUBSCRIPTION_ID is the caller's.
RESOURCE_GROUP=myResourceGroup
LOCATION=WestUS2
IDENTITY=userAssignedIdentityA
FEDERATED_CREDENTIAL=federatedIdentityA
POD_IDENTITY=podIdentityA
CLUSTER_RESOURCE_GROUP=myAKSResourceGroup
CLUSTER_NAME=myAKSCluster
SERVICE_ACCOUNT_NAMESPACE=walk
SERVICE_ACCOUNT_NAME=workload-identity-sa
