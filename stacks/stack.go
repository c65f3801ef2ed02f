package stacks

import (
	"fmt"
	"strings"
)

// StackID names the stack of one region of one incarnation of a database. It is part of every path, lock and journal key.
type StackID struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"`
	Region      string `json:"region"`
}

// String is "namespace/name/incarnation/region": the key of the stack in the journal.
func (id StackID) String() string {
	return id.Namespace + "/" + id.Name + "/" + id.Incarnation + "/" + id.Region
}

// ParseStackID reads what String wrote.
func ParseStackID(s string) (StackID, error) {
	p := strings.Split(s, "/")
	if len(p) != 4 || p[0] == "" || p[1] == "" || p[2] == "" || p[3] == "" {
		return StackID{}, fmt.Errorf("stack ID %q: want namespace/name/incarnation/region", s)
	}
	return StackID{Namespace: p[0], Name: p[1], Incarnation: p[2], Region: p[3]}, nil
}

// File is one file of a stack; Path is relative, with forward slashes.
type File struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
	// Exec says that it is a program, like a script of a module.
	Exec bool `json:"exec,omitempty"`
}

// ProviderRequirement pins one Terraform provider of a stack: Source like "hashicorp/aws", an exact version.
type ProviderRequirement struct {
	LocalName string `json:"localName"`
	Source    string `json:"source"`
	Version   string `json:"version"`
}

// ModuleEntry is one line of .terraform/modules/modules.json: Key is the call's name, Dir is relative to the stack; Version is there where the
// source is a registry's.
type ModuleEntry struct {
	Key     string `json:"Key"`
	Source  string `json:"Source"`
	Version string `json:"Version,omitempty"`
	Dir     string `json:"Dir"`
}

// Stack is the rendered root module of one region. Digest is the SHA-256, in hex, of its files in order of path.
type Stack struct {
	ID        StackID               `json:"id"`
	Files     []File                `json:"files"`
	Digest    string                `json:"digest"`
	Providers []ProviderRequirement `json:"providers"`
	Modules   []ModuleEntry         `json:"modules"`
	// Secrets maps an ephemeral root variable to the catalog's name of the secret that is given in it, at plan and again at apply.
	Secrets map[string]string `json:"secrets,omitempty"`
	// Kept names those of Secrets that are no ephemeral variables: given at plan alone, the plan and the state keep them.
	Kept []string `json:"kept,omitempty"`
	// Install says where its plugins come from. It is no part of the Digest.
	Install Installation `json:"install,omitzero"`
	// DataBearing lists the resource types whose destruction or replacement loses data.
	DataBearing []string `json:"dataBearing,omitempty"`
	// Once is the source of the one provider that the stack has, where it is configured once: one process of its plugin serves a whole launch
	// of terraform. It is no part of the Digest.
	Once string `json:"once,omitempty"`
	// Memory is how much one launch of terraform may use, with its plugins, in MiB; 0 is little. It is no part of the Digest.
	Memory int `json:"memory,omitempty"`
}

// ModuleCall is what a provider wants in a region's stack: one of our modules, its inputs and its providers. Render turns it into files.
type ModuleCall struct {
	// Module is the folder under modules/, like "local-postgres". It is empty where Foreign says what is called.
	Module string
	// Foreign is a module that is not ours.
	Foreign *ForeignCall
	// Inputs are the module's arguments: strings, bools, int64s, []any, map[string]any. Never a secret.
	Inputs map[string]any
	// Secrets maps a module argument to the catalog's name of a secret; rendered as an ephemeral root variable of the argument's name.
	Secrets map[string]string
	// Outputs are the module's outputs to export from the root. None may be sensitive.
	Outputs     []string
	Providers   []ProviderConfig
	DataBearing []string
}

// ProviderConfig is one required provider and its configuration block (no secret in it).
type ProviderConfig struct {
	ProviderRequirement
	Config map[string]any
	// Blocks are nested blocks of the configuration, one of each name, like assume_role.
	Blocks map[string]map[string]any
}

// Placement is what the catalog gave a region for its life: for provider local a loopback address, a port and a data directory.
type Placement struct {
	Address string            `json:"address,omitempty"`
	Port    int               `json:"port,omitempty"`
	Values  map[string]string `json:"values,omitempty"`
	// Takeover is what was there before Meridian; nil where Meridian itself made the region.
	Takeover *Takeover `json:"takeover,omitempty"`
}

// Takeover is what of a region was there before Meridian took it under control, and what taking it may change.
type Takeover struct {
	// Objects are taken into the state before anything else is planned.
	Objects []Import `json:"objects"`
	// May are the attributes that the takeover may change, by the first word of their path: those that only Terraform and Meridian know of.
	May []string `json:"may,omitempty"`
	// Never are those that it may not change, whatever else it may: passwords.
	Never []string `json:"never,omitempty"`
	// Change lets it change in place what the spec says otherwise, and make what is missing.
	Change bool `json:"change,omitempty"`
}

// Endpoint is where a region's database answers. Secret is the catalog's name of the password, never the password.
type Endpoint struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Secret   string `json:"secret"`
	Database string `json:"database"`
	// TLSMode is the engine's own word for it ("disable", "require", "verify-full").
	TLSMode string `json:"tlsMode,omitempty"`
	// CAFile is a file on Meridian's machines with the authorities that may have signed the server's certificate; empty is what the engine takes.
	CAFile string `json:"caFile,omitempty"`
}
