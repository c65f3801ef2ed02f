package stacks

// Source is one file of specs as a user gave it; Name is what its errors call it.
type Source struct {
	Name string
	Text []byte
}

// Loaded is one document of a source: what it says and where it says it.
type Loaded struct {
	// Spec is what the document says, nothing filled in but the namespace. Where the document has errors it is what could be read.
	Spec Database
	// Text is this document's own text, without the others of its file.
	Text []byte
	// File is the name of the source.
	File string
}

// Load reads the documents of all sources and reports every error at once. defaultNamespace is used where a document names none.
// A document with errors is returned too, as far as it could be read, so that Validate can find the rest.
func Load(sources []Source, defaultNamespace string) ([]Loaded, []Diagnostic) { panic("todo") }

// Locate fills in file, line, column, length and snippet of the diagnostics that have a Field and no place yet.
func (l Loaded) Locate(ds []Diagnostic) []Diagnostic { panic("todo") }
