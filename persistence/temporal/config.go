package temporal

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

const (
	loopback        = "127.0.0.1"
	clusterName     = "active"
	frontendService = primitives.FrontendService

	// queueWorkers work off each of the server's task queues (transfer, timer, visibility).
	queueWorkers = 64
)

// serviceStart is how long the start of one of the server's services may take: on a busy machine, or with a store that is far away, its own 15 s are
// too short. The server takes twice the time of a join, and with static hosts nobody joins.
const serviceStart = time.Minute

// services are all that run. The internal frontend is for the server's own workers, who have no key: it and the other inner
// services ask for a certificate that only this process has.
var services = []string{
	string(primitives.FrontendService),
	string(primitives.InternalFrontendService),
	string(primitives.HistoryService),
	string(primitives.MatchingService),
	string(primitives.WorkerService),
}

// dynamicSettings differ from the server's defaults for one node with one database file. Sources: measurements of this project
// and the settings of Temporal's own development server.
var dynamicSettings = dynamicconfig.StaticClient{
	// More than one partition on one node only adds a tail of seconds to task latency.
	dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
	dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
	// Search attributes that Start adds to an older namespace can be used at once.
	dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
	// The caches above read the database more often.
	dynamicconfig.FrontendPersistenceMaxQPS.Key(): 10000,
	dynamicconfig.HistoryPersistenceMaxQPS.Key():  45000,
	// The Web UI alone can ask more than the default of 10 a second.
	dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
	// The defaults of 128,000 cached histories, and of 10,000 workflows kept in the workers of this process, are for a cluster. A schedule is a workflow
	// that is done with in a moment and rests for an hour: ten thousand databases would hold a gigabyte.
	dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 2048,
	dynamicconfig.WorkerStickyCacheSize.Key():        512,
	// A worker that stops gives its polls back at once.
	dynamicconfig.EnableCancelWorkerPollsOnShutdown.Key(): true,
	// The scanners look twice a day for rows that a cluster's crashes leave, which a file that can be rebuilt does not need; the
	// policy worker is for parents with very many children. Their pollers outlive the worker service: every stop waits a second.
	dynamicconfig.TaskQueueScannerEnabled.Key():       false,
	dynamicconfig.HistoryScannerEnabled.Key():         false,
	dynamicconfig.EnableParentClosePolicyWorker.Key(): false,
	// The defaults of 128 to 512 idle goroutines each are for a shard's worth of a cluster; one SQLite writer feeds far fewer.
	dynamicconfig.TimerProcessorSchedulerWorkerCount.Key():                  queueWorkers,
	dynamicconfig.TransferProcessorSchedulerWorkerCount.Key():               queueWorkers,
	dynamicconfig.VisibilityProcessorSchedulerWorkerCount.Key():             queueWorkers,
	dynamicconfig.ArchivalProcessorSchedulerWorkerCount.Key():               queueWorkers,
	dynamicconfig.ReplicationProcessorSchedulerWorkerCount.Key():            1,
	dynamicconfig.ReplicationLowPriorityProcessorSchedulerWorkerCount.Key(): 1,
}

// serverConfig describes one node on its store.
func serverConfig(b *backing, p ports) *config.Config {
	c := &config.Config{
		Persistence: b.persistence(),
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: p.address(frontendService)},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
		Services: map[string]config.Service{},
	}
	c.Global.Membership = config.Membership{MaxJoinDuration: serviceStart / 2, BroadcastAddress: loopback}
	for service, port := range p {
		c.Services[string(service)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
	}
	return c
}

// ports is the loopback port of each service.
type ports map[primitives.ServiceName]int

func (p ports) address(s primitives.ServiceName) string {
	return net.JoinHostPort(loopback, strconv.Itoa(p[s]))
}

// hosts fixes who serves what, so that no gossip runs.
func (p ports) hosts() map[primitives.ServiceName]static.Hosts {
	h := make(map[primitives.ServiceName]static.Hosts, len(p))
	for service := range p {
		h[service] = static.SingleLocalHost(p.address(service))
	}
	return h
}

// Ports are taken from below the range that Linux gives to outgoing connections and to listeners that do not care (32768 and
// above), so that nobody but another server like this one is likely to take one between the check and the start.
const firstPort, lastPort = 20000, 32767

// freePorts finds a free loopback port for each service.
func freePorts() (ports, error) {
	p := make(ports, len(services))
	for _, service := range services {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		// The listener is closed only when all ports are found, so that no port is found twice.
		defer port.Close()
		p[primitives.ServiceName(service)] = port.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

// freePort listens on a free loopback port.
func freePort() (net.Listener, error) {
	var last error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port of %s between %d and %d, end what listens there: %w", loopback, firstPort, lastPort, last)
}
