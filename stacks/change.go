package stacks

// Action is what a plan does to one resource; Terraform's own words.
type Action string

// The actions of a change.
const (
	ActionNoop    Action = "no-op"
	ActionCreate  Action = "create"
	ActionRead    Action = "read"
	ActionUpdate  Action = "update"
	ActionDelete  Action = "delete"
	ActionReplace Action = "replace"
	ActionForget  Action = "forget"
)

// Change is one resource (or output) change of a plan, as people see and approve it.
type Change struct {
	Region  string `json:"region,omitempty"`
	Address string `json:"address"`
	// PreviousAddress is set where the resource moved.
	PreviousAddress string `json:"previousAddress,omitempty"`
	Type            string `json:"type,omitempty"`
	Action          Action `json:"action"`
	Reason          string `json:"reason,omitempty"`
	Importing       bool   `json:"importing,omitempty"`
	// DataBearing marks a resource whose destruction loses data.
	DataBearing bool `json:"dataBearing,omitempty"`
	// Then marks a change of a run's second step, shown with the first: it is planned anew once that is applied, and goes on under the
	// same yes where it is the same.
	Then       bool              `json:"then,omitempty"`
	Attributes []AttributeChange `json:"attributes,omitempty"`
	// Keeps are, of a replacement, what the new object gets as the old one had it. With Attributes they are all that is known of the new one, by
	// which its making is told again where an interruption came between the halves.
	Keeps []AttributeChange `json:"keeps,omitempty"`
	// Restores are the paths of the attributes that go back to what the newest state says: what became of the object since is undone.
	Restores []string `json:"restores,omitempty"`
}

// AttributeChange is one attribute of a change. Sensitive values are never here: Before and After are then empty.
// Values are JSON text; Unknown means "known after apply".
type AttributeChange struct {
	Path      string `json:"path"`
	Before    string `json:"before,omitempty"`
	After     string `json:"after,omitempty"`
	Sensitive bool   `json:"sensitive,omitempty"`
	Unknown   bool   `json:"unknown,omitempty"`
	// Forces marks an attribute that forces a replacement.
	Forces bool `json:"forces,omitempty"`
	// Echo marks one that the configuration does not set and that says what another of the object says: AWS's tags_all is made of tags. Only
	// checks look for it.
	Echo bool `json:"echo,omitempty"`
}

// Dangerous reports whether the change loses data or control: a delete, a replacement or a forgetting of something data-bearing.
// A yes given in advance (--yes) never covers it.
func (c Change) Dangerous() bool {
	return c.DataBearing && (c.Action == ActionDelete || c.Action == ActionReplace || c.Action == ActionForget)
}
