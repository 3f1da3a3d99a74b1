// adal of go-autorest, which the SDKs for Go used before azidentity: token CREDENTIAL RESOURCE [CLIENT_ID]
package main

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"time"

	"github.com/Azure/go-autorest/autorest/adal"
)

func main() {
	answer := map[string]any{"version": version("github.com/Azure/go-autorest/autorest/adal")}
	start := time.Now()
	token, err := token(os.Args[2], os.Args[3:])
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

func token(resource string, client []string) (string, error) {
	var options adal.ManagedIdentityOptions
	if len(client) > 0 {
		options.ClientID = client[0]
	}
	token, err := adal.NewServicePrincipalTokenFromManagedIdentity(resource, &options)
	if err != nil {
		return "", err
	}
	if err := token.EnsureFresh(); err != nil {
		return "", err
	}
	return token.OAuthToken(), nil
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
