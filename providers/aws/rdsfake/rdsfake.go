// Package rdsfake is a scripted fake of RDS (with the little of STS and EC2 that goes with it) which speaks AWS's own query
// protocol over HTTP: for the states, refusals and failures that no emulator has.
//
// It is for tests only, keeps everything in memory, and checks no signature: it only reads from it who asks which region. What AWS documents
// as refused, it refuses.
package rdsfake

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Account is the fake's account.
const Account = "123456789012"

// Instance is a DB instance as RDS describes it.
type Instance struct {
	ID, Region, Class, Engine, Version string
	Status                             string
	Percent                            string
	// Tags are its tags.
	Tags map[string]string
	// Managed says that RDS itself keeps the master password in Secrets Manager.
	Managed            bool
	Backups            int
	DeletionProtection bool
	// Source is the ARN of what it is a read replica of; Replication is the status of that, like "replicating".
	Source, Replication string
	// Cluster is the Aurora cluster that it belongs to, Tier the order in which it takes over there.
	Cluster string
	Tier    int
	// PendingClass is a class that waits for the window.
	PendingClass string
	Events       []string
}

// ARN is the instance's ARN.
func (i Instance) ARN() string {
	return fmt.Sprintf("arn:aws:rds:%s:%s:db:%s", i.Region, Account, i.ID)
}

// Group is an EC2 security group.
type Group struct {
	ID, Name, VPC, Region string
	Tags                  map[string]string
	// Rules are the ingress rules: the ID of each by its address range.
	Rules map[string]string
}

// ParameterGroup is a DB parameter group.
type ParameterGroup struct {
	Name, Region string
	Tags         map[string]string
}

// ARN is the group's ARN.
func (g ParameterGroup) ARN() string {
	return fmt.Sprintf("arn:aws:rds:%s:%s:pg:%s", g.Region, Account, g.Name)
}

// Fault is what answers to a call instead of the fake's own answer, so many times.
type Fault struct {
	// Status and Code are what AWS answers: 400 and "Throttling", 503 and "ServiceUnavailable".
	Status        int
	Code, Message string
	// AfterCommit does the work and then drops the connection.
	AfterCommit bool
	// Hang keeps the connection silent until the caller gives up.
	Hang bool
	// Times is how often it happens; 0 is once.
	Times int
}

// Fake is the server. Its methods may be called while it is asked.
type Fake struct {
	srv *httptest.Server

	mu            sync.Mutex
	instances     map[string]Instance // by ARN
	clusters      map[string]Cluster  // by ARN
	globals       map[string]Global   // by name
	snapshots     map[string]bool
	groups        []Group
	metrics       []Metric
	families      map[string]ParameterGroup // by "region/name"
	clusterGroups map[string]ClusterGroup   // by ARN
	pageSize      int
	faults        map[string][]Fault // by action
	refused       map[string]string  // the code by access key ID
	account       string             // that GetCallerIdentity answers
	maxLength     time.Duration      // of a role's session
	calls         []string
}

// New starts a fake; close it with Close.
func New() *Fake {
	f := &Fake{
		instances: map[string]Instance{}, clusters: map[string]Cluster{}, globals: map[string]Global{},
		clusterGroups: map[string]ClusterGroup{}, snapshots: map[string]bool{},
		faults: map[string][]Fault{}, families: map[string]ParameterGroup{}, pageSize: 100, refused: map[string]string{}, account: Account, maxLength: time.Hour,
	}
	f.srv = httptest.NewServer(http.HandlerFunc(f.serve))
	return f
}

// Close ends it.
func (f *Fake) Close() {
	f.srv.CloseClientConnections()
	f.srv.Close()
}

// URL is its endpoint, for all services and regions.
func (f *Fake) URL() string { return f.srv.URL }

// Put sets an instance as it is now.
func (f *Fake) Put(i Instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.instances[i.ARN()] = i
}

// Instance is an instance as it is now.
func (f *Fake) Instance(region, id string) (Instance, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.instances[Instance{ID: id, Region: region}.ARN()]
	return i, ok
}

// PutParameterGroup sets a parameter group.
func (f *Fake) PutParameterGroup(g ParameterGroup) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.families[g.Region+"/"+g.Name] = g
}

// ParameterGroup reports whether a parameter group is there.
func (f *Fake) ParameterGroup(region, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.families[region+"/"+name]
	return ok
}

// SetPageSize sets how many objects a page has.
func (f *Fake) SetPageSize(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pageSize = n
}

// PutGroup adds a security group.
func (f *Fake) PutGroup(g Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups = append(f.groups, g)
}

// Groups are the security groups that are there.
func (f *Fake) Groups() []Group {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.groups)
}

// Fail makes the next calls of an action fail.
func (f *Fake) Fail(action string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[action] = append(f.faults[action], fault)
}

// Refuse answers to every call of an access key ID with a code, like ExpiredToken; "" lets it work again.
func (f *Fake) Refuse(accessKey, code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[accessKey] = code
}

// SetAccount sets whose account the credentials are of.
func (f *Fake) SetAccount(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.account = account
}

// Calls lists the actions that were asked for, in order.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count counts the calls of an action.
func (f *Fake) Count(action string) int {
	n := 0
	for _, c := range f.Calls() {
		if c == action {
			n++
		}
	}
	return n
}

var scope = regexp.MustCompile(`Credential=([^/]+)/[0-9]+/([^/]+)/([^/]+)/aws4_request`)

// call is one request.
type call struct {
	form            url.Values
	action          string
	region, service string
	key             string
}

func (f *Fake) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := call{form: r.PostForm, action: r.PostForm.Get("Action")}
	if m := scope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		c.key, c.region, c.service = m[1], m[2], m[3]
	}
	f.mu.Lock()
	f.calls = append(f.calls, c.action)
	fault, faulty := f.nextFault(c.action)
	code := f.refused[c.key]
	f.mu.Unlock()
	switch {
	case code != "":
		answer(w, http.StatusForbidden, problem(c, code, "The security token included in the request is expired or not known"))
		return
	case faulty && fault.Hang:
		<-r.Context().Done()
		return
	case faulty && !fault.AfterCommit:
		answer(w, fault.Status, problem(c, fault.Code, fault.Message))
		return
	}
	f.mu.Lock()
	result, refusal := f.work(c)
	f.mu.Unlock()
	if faulty { // done, and nobody hears of it
		panic(http.ErrAbortHandler)
	}
	if refusal != nil {
		answer(w, refusal.status, problem(c, refusal.code, refusal.message))
		return
	}
	answer(w, http.StatusOK, result)
}

func (f *Fake) nextFault(action string) (Fault, bool) {
	queue := f.faults[action]
	if len(queue) == 0 {
		return Fault{}, false
	}
	fault := queue[0]
	if queue[0].Times--; queue[0].Times <= 0 {
		f.faults[action] = queue[1:]
	}
	return fault, true
}

// tagsOf reads tags of a request: Tags.Tag.1.Key and so on.
func tagsOf(form url.Values) map[string]string {
	out := map[string]string{}
	for n := 1; ; n++ {
		key := form.Get(fmt.Sprintf("Tags.Tag.%d.Key", n))
		if key == "" {
			return out
		}
		out[key] = form.Get(fmt.Sprintf("Tags.Tag.%d.Value", n))
	}
}

func sortedARNs(m map[string]Instance) []string { return slices.Sorted(maps.Keys(m)) }

func last(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

// Settle lets what is being deleted be gone.
func (f *Fake) Settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.instances, func(_ string, i Instance) bool { return i.Status == "deleting" })
	maps.DeleteFunc(f.clusters, func(_ string, c Cluster) bool { return c.Status == "deleting" })
}
