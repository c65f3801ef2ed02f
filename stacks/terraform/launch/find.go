package launch

import (
	"context"

	"meridian/stacks/terraform"
)

// Find returns the terraform or tofu to use: hint (the path that a flag or MERIDIAN_TERRAFORM gave; nothing else is tried then), else
// terraform and then tofu on PATH, else one that was installed into the site, else it installs the pinned version into the site.
// Versions below 1.11 are refused. The answer is kept in the site and holds while the file is the same.
func Find(ctx context.Context, site terraform.Site, hint string) (terraform.Binary, error) {
	panic("todo")
}
