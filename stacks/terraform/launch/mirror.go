package launch

import "meridian/stacks/terraform"

// LayMirror puts our own plugin into the site's mirror under a version that is derived from its content. It may be called by several processes at once.
func LayMirror(site terraform.Site, pluginBinary string) (terraform.Plugin, error) { panic("todo") }
