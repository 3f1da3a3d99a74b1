// azidentity: token CREDENTIAL RESOURCE [CLIENT_ID]
package main

import (
	"context"
	"encoding/json"
	"os"
	"runtime/debug"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func main() {
	answer := map[string]any{"version": version("github.com/Azure/azure-sdk-for-go/sdk/azidentity")}
	start := time.Now()
	token, err := token(os.Args[1], os.Args[2], os.Args[3:])
	answer["milliseconds"] = time.Since(start).Milliseconds()
	if err != nil {
		answer["error"] = err.Error()
	} else {
		answer["token"] = token
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}

func token(name, resource string, client []string) (string, error) {
	credential, err := credential(name, client)
	if err != nil {
		return "", err
	}
	options := policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}}
	token, err := credential.GetToken(context.Background(), options)
	return token.Token, err
}

func credential(name string, client []string) (azcore.TokenCredential, error) {
	if name == "DefaultAzureCredential" {
		// As in every cloud that the public one's discovery does not list: the authority host is trusted as it is.
		options := azidentity.DefaultAzureCredentialOptions{DisableInstanceDiscovery: true}
		return azidentity.NewDefaultAzureCredential(&options)
	}
	var options azidentity.ManagedIdentityCredentialOptions
	if len(client) > 0 {
		options.ID = azidentity.ClientID(client[0])
	}
	return azidentity.NewManagedIdentityCredential(&options)
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version[1:]
		}
	}
	return "unknown"
}
