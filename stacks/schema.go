package stacks

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// schemaID names the schema; nothing is served there.
const schemaID = "https://meridian.internal/schema/v1/database.json"

// descriptions tell what each field means, by type and field name; a test holds that none is missing.
var descriptions = map[string]string{
	"Database":            "One database in one or more regions.",
	"Database.apiVersion": "The version of this shape.",
	"Database.kind":       "What the document describes.",
	"Database.metadata":   "What the database is called.",
	"Database.spec":       "What is wanted of the database.",

	"Metadata.namespace": "Where the name is unique. Never changes. Default: default.",
	"Metadata.name":      "The database's name. Never changes.",
	"Metadata.labels":    "Names and values for people and tools.",

	"DatabaseSpec.engine":       "The database technology.",
	"DatabaseSpec.databases":    "The logical databases. One that is left out later is kept, unmanaged.",
	"DatabaseSpec.users":        "The login roles. One that is left out later is kept, unmanaged.",
	"DatabaseSpec.regions":      "The places of the database: exactly one primary.",
	"DatabaseSpec.topology":     "How the regions are one database: regional (each is its own; links replicate), or global (their provider replicates by itself). Default: regional.",
	"DatabaseSpec.replication":  "What flows between the regions.",
	"DatabaseSpec.deletion":     "Guards against removal.",
	"DatabaseSpec.drift":        "How the database is checked for drift.",
	"DatabaseSpec.allowReplace": "Regions whose data may be lost by a move or a replacement in the next run; cleared once used.",

	"DatabaseSpec.adminPasswordVersion": "Counts the changes of the administrators' passwords: a higher number gives every region's administrator a new one. Default: 1.",
	"DatabaseSpec.dependsOn":            "Databases that have to be there before this one, and stay while it does. What they give can be an input here.",

	"Dependency.namespace": "The other database's namespace. Default: this one's.",
	"Dependency.name":      "The other database's name.",

	"Engine.name":       "The engine, like postgres; none for what is no database.",
	"Engine.version":    "\"15\" is the newest 15.x that the provider can run, \"15.4\" exactly that. Default: the newest major that the provider can run.",
	"Engine.parameters": "The engine's own parameters. Values are texts: \"50\", \"64MB\".",

	"LogicalDatabase.name":  "The database's name in the engine.",
	"LogicalDatabase.owner": "The user that owns it, one of spec.users. Default: the administrator.",
	"LogicalDatabase.drop":  "Removes it with its data, in every region.",

	"User.name": "The user's name in the engine. Its password is made once and shown by connect.",
	"User.drop": "Removes the user.",

	"Region.name":     "Your name of the region. Never changes; not the cloud's name.",
	"Region.provider": "Who runs it, like local.",
	"Region.location": "The provider's own word for the place, like eu-central-1. Default: the provider's name.",
	"Region.role":     "What the region does.",
	"Region.settings": "The provider's own settings of the region: docs/providers.md says which there are.",

	"Replication.maxLag":    "The lag that a link may have, with its unit. Default: 30s.",
	"Replication.links":     "The links between the regions.",
	"Replication.mode":      "Without links: one link of this mode from the primary to each replica.",
	"Replication.databases": "With mode: the databases that flow. Default: all that are listed.",

	"Link.from":      "The region that is read. Default: the primary.",
	"Link.to":        "The region that is filled.",
	"Link.mode":      "How rows flow.",
	"Link.databases": "The databases that flow. Default: all that are listed.",
	"Link.drop":      "Removes the link. One that is left out is kept, unmanaged.",

	"Drift.every":  "How often, with its unit: 1m to 720h. Default: the server's, 1h unless it says otherwise.",
	"Drift.action": "report tells; remediate also puts back what needs no person; none checks only when asked. Default: report.",
	"Drift.ignore": "What is no drift, as meridian drift show prints it; * stands for anything.",

	"Deletion.protect": "Whether the database and its regions may not be removed. Default: true.",
}

// required lists the fields that a document must have, by type.
var required = map[string][]string{
	"Database":        {"apiVersion", "kind", "metadata", "spec"},
	"Metadata":        {"name"},
	"DatabaseSpec":    {"engine", "regions"},
	"Engine":          {"name"},
	"LogicalDatabase": {"name"},
	"User":            {"name"},
	"Region":          {"name", "provider", "role"},
	"Link":            {"to"},
	"Dependency":      {"name"},
}

// Schema is the JSON schema of a spec document, for editors. What needs more than one field, or a provider, only Validate knows.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{
		RequiredFromJSONSchemaTags: true,
		ExpandedStruct:             true,
		LookupComment: func(t reflect.Type, field string) string {
			if field == "" || t.Kind() != reflect.Struct {
				return descriptions[t.Name()]
			}
			f, _ := t.FieldByName(field)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			return descriptions[t.Name()+"."+name]
		},
	}
	s := r.Reflect(&Database{})
	s.ID = schemaID
	s.Title = "Meridian database"
	defs := map[string]*jsonschema.Schema{"Database": s}
	for name, def := range s.Definitions {
		defs[name] = def
	}
	for name, fields := range required {
		if defs[name] == nil {
			return nil, fmt.Errorf("schema: there is no type %s", name)
		}
		defs[name].Required = fields
	}
	for field, narrow := range narrowings() {
		owner, name, _ := strings.Cut(field, ".")
		p, ok := defs[owner].Properties.Get(name)
		if !ok {
			return nil, fmt.Errorf("schema: there is no field %s", field)
		}
		narrow(p)
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return append(out, '\n'), nil
}

// narrowings say of fields what their Go types do not.
func narrowings() map[string]func(*jsonschema.Schema) {
	text := func(pattern string, most uint64) func(*jsonschema.Schema) {
		return func(s *jsonschema.Schema) { s.Pattern, s.MaxLength = pattern, &most }
	}
	modes := make([]any, 0, len(LinkModes))
	for _, m := range LinkModes {
		modes = append(modes, m)
	}
	oneOf := func(words ...any) func(*jsonschema.Schema) {
		return func(s *jsonschema.Schema) { s.Enum = words }
	}
	topologies := make([]any, 0, len(Topologies))
	for _, t := range Topologies {
		topologies = append(topologies, t)
	}
	some := uint64(1)
	label, ident := dnsLabel.String(), identifier.String()
	return map[string]func(*jsonschema.Schema){
		"Database.apiVersion":   oneOf(APIVersion),
		"Database.kind":         oneOf(KindDatabase),
		"Metadata.namespace":    text(label, MaxNamespace),
		"Metadata.name":         text(label, MaxName),
		"DatabaseSpec.topology": oneOf(topologies...),
		"DatabaseSpec.regions":  func(s *jsonschema.Schema) { s.MinItems = &some },
		"Engine.version":        func(s *jsonschema.Schema) { s.Pattern = versionShape.String() },
		"LogicalDatabase.name":  text(ident, MaxIdentifier),
		"User.name":             text(ident, MaxIdentifier),
		"Dependency.namespace":  text(label, MaxNamespace),
		"Dependency.name":       text(label, MaxName),
		"Region.name":           text(label, MaxRegion),
		"Region.role":           oneOf(RolePrimary, RoleReplica),
		"Replication.mode":      oneOf(modes...),
		"Replication.maxLag": func(s *jsonschema.Schema) {
			s.Type, s.Pattern = "string", `^[0-9.]+(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|µs|ms|s|m|h))*$`
		},
		"Drift.action": oneOf(DriftReport, DriftRemediate, DriftNone),
		"Drift.every": func(s *jsonschema.Schema) {
			s.Type, s.Pattern = "string", `^[0-9.]+(ms|s|m|h)([0-9.]+(ms|s|m|h))*$`
		},
		"Link.mode":        oneOf(modes...),
		"Deletion.protect": func(s *jsonschema.Schema) { s.Default = true },
	}
}
