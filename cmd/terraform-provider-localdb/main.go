// Command terraform-provider-localdb is the Terraform plugin behind provider local. Terraform starts it.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"meridian/providers/local/plugin"
)

func main() {
	err := providerserver.Serve(context.Background(), plugin.New(), providerserver.ServeOpts{Address: plugin.Address, ProtocolVersion: 6})
	if err != nil {
		slog.Error("serve", "error", err)
		os.Exit(1)
	}
}
