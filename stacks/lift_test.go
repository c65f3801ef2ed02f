package stacks

import "testing"

// TestLifting tells a plan that lifts a protection from one that has nothing to lift, and from one that does more than that.
func TestLifting(t *testing.T) {
	off := Change{Address: "db.this", Type: "db", Action: ActionUpdate, Attributes: []AttributeChange{{Path: "settings[0].protection", Before: "true", After: "false"}}}
	larger := Change{Address: "db.this", Type: "db", Action: ActionUpdate, Attributes: []AttributeChange{{Path: "size", Before: "1", After: "2"}}}
	firewall := Change{Address: "firewall.this", Type: "firewall", Action: ActionUpdate, Attributes: []AttributeChange{{Path: "protection", Before: "1", After: "2"}}}
	made := Change{Address: "firewall.this", Type: "firewall", Action: ActionCreate}
	replaced := Change{Address: "db.other", Type: "db", Action: ActionReplace}
	output := Change{Address: "output.host", Action: ActionCreate}
	for name, c := range map[string]struct {
		changes []Change
		lifts   bool
		beyond  string
	}{
		"the protection":             {[]Change{off}, true, ""},
		"nothing":                    {nil, false, ""},
		"something else":             {[]Change{larger, firewall}, false, ""},
		"more in place":              {[]Change{off, firewall}, true, ""},
		"an output":                  {[]Change{off, output}, true, ""},
		"a create":                   {[]Change{made, off}, true, "create firewall.this"},
		"a replacement":              {[]Change{off, replaced}, true, "replace db.other"},
		"a create and no protection": {[]Change{made}, false, "create firewall.this"},
	} {
		t.Run(name, func(t *testing.T) {
			lifts, beyond := Lifting(c.changes, []string{"db"}, []string{"protection"})
			if lifts != c.lifts || beyond != c.beyond {
				t.Errorf("Lifting = %v, %q, want %v, %q", lifts, beyond, c.lifts, c.beyond)
			}
		})
	}
}

// TestRenderLift wants a stack of its own digest, also where the call is the same: plans of both are kept side by side.
func TestRenderLift(t *testing.T) {
	id := StackID{Namespace: "default", Name: "orders", Incarnation: "k3x9q2p7", Region: "ankara"}
	call := ModuleCall{Module: "local-postgres", Inputs: map[string]any{"name": "orders"}}
	plain, err := Render(id, call)
	if err != nil {
		t.Fatal(err)
	}
	lifted, err := RenderLift(id, call)
	if err != nil {
		t.Fatal(err)
	}
	if lifted.Digest == plain.Digest || len(lifted.Files) != len(plain.Files)+1 || lifted.Digest != digestFiles(lifted.Files) {
		t.Errorf("digests %s and %s, %d and %d files", plain.Digest, lifted.Digest, len(plain.Files), len(lifted.Files))
	}
}
