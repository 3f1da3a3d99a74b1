"""Reads and writes every kind of resource by the management SDKs, as any program of a user would.

The clients know the simulation only by its addresses. Prints a line for each case; the first that fails ends it.
"""

import os
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.containerservice.models import (
    ManagedClusterPodIdentity,
    ManagedClusterPodIdentityProfile,
    UserAssignedIdentity,
)
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient

ARM, TENANT, SUBSCRIPTION = (os.environ[name] for name in ("ARM", "AZURE_TENANT_ID", "SUBSCRIPTION"))
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/sdk"
AUDIENCE = "api://AzureADTokenExchange"

credential = ClientSecretCredential(
    TENANT,
    os.environ["AZURE_CLIENT_ID"],
    os.environ["AZURE_CLIENT_SECRET"],
    authority=ARM,
    disable_instance_discovery=True,
)
cloud = {"base_url": ARM, "credential_scopes": ["https://management.azure.com/.default"]}
subscriptions = SubscriptionClient(credential, **cloud)
resources = ResourceManagementClient(credential, SUBSCRIPTION, **cloud)
identities = ManagedServiceIdentityClient(credential, SUBSCRIPTION, **cloud)
clusters = ContainerServiceClient(credential, SUBSCRIPTION, **cloud)
roles = AuthorizationManagementClient(credential, SUBSCRIPTION, **cloud)


def refused(code, call, *arguments, **options):
    """The error of a call that must fail with this code."""
    try:
        call(*arguments, **options)
    except HttpResponseError as error:
        assert error.error and error.error.code == code, f"{code} expected: {error}"
        return error
    raise AssertionError(f"{code} expected, but the call succeeded")


def names(items):
    return [item.name for item in items]


def fic(subject, audiences=(AUDIENCE,), issuer="https://issuer.example.test/"):
    return {"properties": {"issuer": issuer, "subject": subject, "audiences": list(audiences)}}


def where_i_am():
    assert [one.subscription_id for one in subscriptions.subscriptions.list()] == [SUBSCRIPTION]
    assert subscriptions.subscriptions.get(SUBSCRIPTION).state == "Enabled"
    assert [one.tenant_id for one in subscriptions.tenants.list()] == [TENANT]
    assert "westus2" in names(subscriptions.subscriptions.list_locations(SUBSCRIPTION))


def providers():
    namespace = "Microsoft.ManagedIdentity"
    assert resources.providers.get(namespace).registration_state == "NotRegistered"
    # Were it asked for an identity now, the SDK would register the provider by itself, and wait 10 s.
    assert resources.providers.register(namespace).registration_state == "Registered"
    assert namespace in [one.namespace for one in resources.providers.list()]


def groups():
    of = resources.resource_groups
    assert not of.check_existence("sdk")
    refused("ResourceGroupNotFound", of.get, "sdk")
    made = of.create_or_update("sdk", {"location": "West US 2", "tags": {"a": "1"}})
    assert (made.location, made.tags, made.properties.provisioning_state) == ("westus2", {"a": "1"}, "Succeeded")
    assert of.check_existence("SDK")
    assert of.update("sdk", {"tags": {"b": "2"}}).tags == {"b": "2"}
    refused("InvalidResourceGroupLocation", of.create_or_update, "sdk", {"location": "eastus"})
    assert "sdk" in names(of.list())


def managed_identities():
    of = identities.user_assigned_identities
    for name in ("one", "two", "three"):
        of.create_or_update("sdk", name, {"location": "westus2"})
    one = of.get("sdk", "ONE")
    assert one.name == "one" and one.client_id and one.principal_id and one.tenant_id == TENANT
    assert "/resourcegroups/" in one.id, "the case of an id is the provider's own"
    assert of.update("sdk", "one", {"tags": {"a": "1"}}).tags == {"a": "1"}
    # Two a page, so three need a second one.
    assert sorted(names(of.list_by_resource_group("sdk"))) == ["one", "three", "two"]
    assert len(list(of.list_by_subscription())) == 3
    of.delete("sdk", "three")
    of.delete("sdk", "three")
    refused("ResourceNotFound", of.get, "sdk", "three")
    assert any("userAssignedIdentities/write" in one.name for one in identities.operations.list())


def federated_credentials():
    of = identities.federated_identity_credentials
    refused("ParentResourceNotFound", of.create_or_update, "sdk", "nobody", "fic", fic("s"))
    made = of.create_or_update("sdk", "one", "fic", fic("s"))
    assert (made.issuer, made.subject, made.audiences) == ("https://issuer.example.test/", "s", [AUDIENCE])
    refused("BadRequest", of.create_or_update, "sdk", "one", "two-audiences", fic("t", ("a", "b")))
    error = refused("Conflict", of.create_or_update, "sdk", "one", "other", fic("s"))
    assert "already exists" in error.message
    assert of.create_or_update("sdk", "one", "fic", fic("S")).subject == "S"
    for number in range(19):
        of.create_or_update("sdk", "one", f"fic-{number}", fic(str(number)))
    refused("BadRequest", of.create_or_update, "sdk", "one", "one-too-many", fic("twenty"))
    assert len(list(of.list("sdk", "one"))) == 20
    assert len(list(of.list("sdk", "one", top=1))) == 20
    assert of.get("sdk", "one", "FIC").name == "fic"
    of.delete("sdk", "one", "fic")
    of.delete("sdk", "one", "fic")
    refused("ResourceNotFound", of.get, "sdk", "one", "fic")


def managed_clusters():
    of = clusters.managed_clusters
    cluster = of.get("aks", "aks")
    assert cluster.oidc_issuer_profile.issuer_url == os.environ["ISSUER"]
    cluster.tags = {"written": "1"}
    refused("PreconditionFailed", of.begin_create_or_update, "aks", "aks", cluster,
            etag="stale", match_condition=MatchConditions.IfNotModified)
    after = of.begin_create_or_update("aks", "aks", cluster, etag=cluster.e_tag,
                                      match_condition=MatchConditions.IfNotModified).result()
    assert after.tags == {"written": "1"} and after.provisioning_state == "Succeeded"
    assert after.oidc_issuer_profile.issuer_url == os.environ["ISSUER"]
    assert of.get("aks", "aks").e_tag != cluster.e_tag
    assert of.begin_update_tags("aks", "aks", {"tags": {"patched": "1"}}).result().tags == {"patched": "1"}
    kubeconfig = of.list_cluster_user_credentials("aks", "aks").kubeconfigs[0].value
    assert bytes(kubeconfig) == os.environ["KUBECONFIG_TEXT"].encode()
    assert of.list_cluster_admin_credentials("aks", "aks").kubeconfigs[0].value == kubeconfig

    new = {"location": "westus2", "identity": {"type": "SystemAssigned"},
           "properties": {"dnsPrefix": "n", "oidcIssuerProfile": {"enabled": True}}}
    poller = of.begin_create_or_update("sdk", "new", new)
    refused("OperationNotAllowed", of.begin_create_or_update, "sdk", "new", new)
    assert poller.result().oidc_issuer_profile.issuer_url.endswith("/")
    assert sorted(names(of.list())) == ["aks", "new"] and names(of.list_by_resource_group("sdk")) == ["new"]
    of.begin_delete("sdk", "new").result()
    refused("ResourceNotFound", of.get, "sdk", "new")


def pod_identities():
    """What the az extension aks-preview does, by this very SDK: change the list, put the whole cluster back."""
    of = clusters.managed_clusters
    one = identities.user_assigned_identities.get("sdk", "one")
    who = {"resource_id": one.id, "client_id": one.client_id, "object_id": one.principal_id}
    entries = [ManagedClusterPodIdentity(name=name, namespace="ns", identity=UserAssignedIdentity(**who))
               for name in ("goes", "stays")]
    cluster = of.get("aks", "aks")
    assert cluster.pod_identity_profile is None
    cluster.pod_identity_profile = ManagedClusterPodIdentityProfile(enabled=True, user_assigned_identities=entries)
    cluster = of.begin_create_or_update("aks", "aks", cluster).result()
    profile = cluster.pod_identity_profile
    assert [(one.name, one.provisioning_state) for one in profile.user_assigned_identities] == [
        ("goes", "Assigned"), ("stays", "Assigned")]
    assert profile.user_assigned_identities[0].identity.client_id == one.client_id
    profile.user_assigned_identities = [one for one in profile.user_assigned_identities if one.name != "goes"]
    cluster = of.begin_create_or_update("aks", "aks", cluster).result()
    assert names(cluster.pod_identity_profile.user_assigned_identities) == ["stays"]
    cluster.pod_identity_profile = ManagedClusterPodIdentityProfile(enabled=False)
    cluster = of.begin_create_or_update("aks", "aks", cluster).result()
    assert not cluster.pod_identity_profile.enabled and not cluster.pod_identity_profile.user_assigned_identities
    assert cluster.oidc_issuer_profile.issuer_url == os.environ["ISSUER"]


def role_assignments():
    of = roles.role_assignments
    [reader] = roles.role_definitions.list(SCOPE, filter="roleName eq 'Reader'")
    assert roles.role_definitions.get_by_id(reader.id).role_name == "Reader"
    principal = identities.user_assigned_identities.get("sdk", "one").principal_id
    body = {"role_definition_id": reader.id, "principal_id": principal, "principal_type": "ServicePrincipal"}
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, SCOPE + principal))
    made = of.create(SCOPE, name, body)
    assert (made.name, made.principal_id, made.scope) == (name, principal, SCOPE)
    assert of.create(SCOPE, name, body).id == made.id
    refused("RoleAssignmentExists", of.create, SCOPE, str(uuid.uuid4()), body)
    nobody = body | {"principal_id": str(uuid.uuid4())}
    refused("PrincipalNotFound", of.create, SCOPE, str(uuid.uuid4()), nobody)
    assert of.get(SCOPE, name).id == of.get_by_id(made.id).id
    assert names(of.list_for_scope(SCOPE, filter="atScope()")) == [name]
    assert names(of.list_for_subscription(filter=f"principalId eq '{principal}'")) == [name]
    assert of.delete(SCOPE, name).name == name
    assert of.delete(SCOPE, name) is None
    refused("RoleAssignmentNotFound", of.get, SCOPE, name)
    again = of.create_by_id(made.id, body)
    assert names(of.list_for_resource_group("sdk")) == [name]
    assert again.role_definition_id == reader.id
    kind = ("Microsoft.ManagedIdentity", "userAssignedIdentities", "one")
    assert name in names(of.list_for_resource("sdk", *kind)), "what is assigned above holds below"
    assert of.delete_by_id(made.id).name == name


def by_id():
    """The generic calls, which know of no kind."""
    of = resources.resources
    version = "2024-11-30"
    one = identities.user_assigned_identities.get("sdk", "one").id
    new = one.rsplit("/", 1)[0] + "/generic"
    made = of.begin_create_or_update_by_id(new, parameters={"location": "westus2"}, api_version=version).result()
    assert made.name == "generic" and made.properties["clientId"]
    assert of.get_by_id(new, api_version=version).id == made.id
    of.begin_delete_by_id(new, api_version=version).result()
    refused("ResourceNotFound", of.get_by_id, new, api_version=version)


def everything_goes():
    assert sorted(names(resources.resources.list_by_resource_group("sdk"))) == ["one", "two"]
    kind = "Microsoft.ContainerService/managedClusters"
    assert names(resources.resources.list(filter=f"resourceType eq '{kind}'")) == ["aks"]
    assert names(resources.resources.list(filter="resourceGroup eq 'aks'")) == ["aks"]
    poller = resources.resource_groups.begin_delete("sdk")
    refused("ResourceGroupBeingDeleted", identities.user_assigned_identities.create_or_update,
            "sdk", "late", {"location": "westus2"})
    poller.result()
    assert not resources.resource_groups.check_existence("sdk")
    refused("ResourceGroupNotFound", identities.user_assigned_identities.get, "sdk", "one")


for case in (where_i_am, providers, groups, managed_identities, federated_credentials,
             managed_clusters, pod_identities, role_assignments, by_id, everything_goes):
    case()
    print(case.__name__, flush=True)
