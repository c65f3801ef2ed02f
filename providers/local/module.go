package local

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

const (
	module       = "local-postgres"
	resourceType = "localdb_postgres"
	// resourceAddress is where a stack has its server: the call of each region's module is named "database".
	resourceAddress = "module.database.localdb_postgres.this"
	directoryType   = "localdb_directory"
)

// defaults are what replication between regions needs, with room for a handful of links and databases. A spec may raise the numbers.
var defaults = map[string]string{
	"wal_level":                       "logical",
	"max_wal_senders":                 "20",
	"max_replication_slots":           "20",
	"max_worker_processes":            "16",
	"max_logical_replication_workers": "12",
	"wal_retrieve_retry_interval":     "1s", // a link that stumbled goes on after a second, not five
}

// secretNames names the administrator's password.
func (postgres) secretNames(in providers.ModuleInput) []string {
	return []string{in.Database.AdminSecret(in.Region.Name)}
}

// RotatesPassword is true for PostgreSQL: a node of Cassandra gets its password once.
func (p *Provider) RotatesPassword(engine string) bool {
	_, is := p.engines()[engine].(postgres)
	return is
}

// moduleCall makes a region of the module local-postgres.
func (p postgres) moduleCall(in providers.ModuleInput) (stacks.ModuleCall, error) {
	home, err := homeOf(in)
	if err != nil {
		return stacks.ModuleCall{}, err
	}
	call := stacks.ModuleCall{
		Module: module,
		Inputs: map[string]any{
			"name":                   cmp.Or(in.Placement.Values[valueName], strings.Join([]string{in.Stack.Namespace, in.Stack.Name, in.Stack.Region}, "/")),
			"owner":                  p.ownerOf(in),
			"address":                in.Placement.Address,
			"port":                   int64(in.Placement.Port),
			"data_dir":               home,
			"engine_version":         in.Database.Spec.Engine.Version,
			"settings":               settings(in.Database.Spec.Engine.Parameters),
			"admin_password_version": passwordVersion(in),
		},
		Secrets:     map[string]string{"admin_password": in.Database.AdminSecret(in.Region.Name)},
		Outputs:     []string{"host", "port", "admin_user", "system_identifier", "server_version"},
		Providers:   p.plugin(),
		DataBearing: []string{resourceType},
	}
	if p.cfg.Directories > 0 && in.Placement.Takeover == nil {
		beside := map[string]string{}
		for i := range p.cfg.Directories {
			beside[directoryKey(i+1)] = directoryOf(home, i+1)
		}
		call.Inputs["directories"], call.Inputs["directories_note"] = beside, note(in.Database.Spec.Engine.Parameters)
		call.DataBearing = append(call.DataBearing, directoryType)
	}
	return call, nil
}

// directoryKey is a directory's key in the module's for_each.
func directoryKey(number int) string { return fmt.Sprintf("%02d", number) }

// directoryOf is the path of a directory beside a server's home: labels have no dots, so it is no other stack's home.
func directoryOf(home string, number int) string { return fmt.Sprintf("%s.beside.%02d", home, number) }

// note is what the directories' marks say: the parameters, so that a change of the server is a change of theirs too.
func note(parameters map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		words = append(words, name+"="+parameters[name])
	}
	return strings.Join(words, " ")
}

// ownerOf is the mark of a region's server: one that was taken over keeps the mark that it had.
func (p *Provider) ownerOf(in providers.ModuleInput) string {
	return cmp.Or(in.Placement.Values[valueOwner], p.owner(in.Stack))
}

// owner is the mark by which a server is known as this stack's, whichever Meridian else is on the machine.
func (p *Provider) owner(id stacks.StackID) string { return p.cfg.Installation + "/" + id.String() }

// settings puts the spec's parameters over the defaults; names in lower case, as PostgreSQL takes them in any.
func settings(parameters map[string]string) map[string]any {
	merged := maps.Clone(defaults)
	for name, value := range parameters {
		merged[strings.ToLower(name)] = value
	}
	out := make(map[string]any, len(merged))
	for name, value := range merged {
		out[name] = value
	}
	return out
}

func (postgres) endpoint(in providers.EndpointInput) (stacks.Endpoint, error) {
	return endpointOf(in, in.Database.AdminSecret(in.Region.Name), "postgres")
}
