package cassandra

import (
	"path/filepath"
	"strconv"
	"strings"
)

// What Java 17 keeps to itself, and Cassandra 5.0 reaches into (its own conf/jvm17-server.options). It does not start without.
var (
	exported = []string{
		"java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch", "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry",
		"java.rmi/sun.rmi.server", "java.sql/java.sql", "java.base/java.lang.ref", "jdk.unsupported/sun.misc", "jdk.compiler/com.sun.tools.javac.file", "jdk.attach/sun.tools.attach",
		"java.management/com.sun.jmx.remote.security", // the password of nodetool
	}
	opened = []string{
		"java.base/java.lang", "java.base/java.lang.module", "java.base/java.lang.reflect", "java.base/java.io", "java.base/java.util", "java.base/sun.nio.ch",
		"java.base/jdk.internal.loader", "java.base/jdk.internal.ref", "java.base/jdk.internal.reflect", "java.base/jdk.internal.math", "java.base/jdk.internal.module",
		"java.base/jdk.internal.util.jar", "jdk.management/com.sun.management.internal", "jdk.compiler/com.sun.tools.javac",
	}
)

// access opens what Java keeps to itself.
func access() []string {
	var out []string
	for _, m := range exported {
		out = append(out, "--add-exports="+m+"=ALL-UNNAMED")
	}
	for _, m := range opened {
		out = append(out, "--add-opens="+m+"=ALL-UNNAMED")
	}
	return out
}

// classPath names every jar: an empty element would mean the working directory.
func (in Installation) classPath() string { return strings.Join(in.jars, ":") }

// configFlag names a node's configuration. By it the node's process is known in the process table.
func (s Spec) configFlag() string {
	return "-Dcassandra.config=file://" + filepath.Join(s.Home, confName)
}

// nodeArgs are the arguments of a node's Java. A small heap, one compiler and short delays: many nodes share a machine, and the
// peers of one cluster are microseconds away.
func (s Spec) nodeArgs(in Installation, jmxPort int) []string {
	heap := s.HeapMiB
	if heap == 0 {
		heap = DefaultHeap
	}
	size := strconv.Itoa(heap) + "m"
	in1 := func(name string) string { return filepath.Join(s.Home, name) }
	args := []string{
		"-ea", "-da:net.openhft...", "-Xms" + size, "-Xmx" + size, "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-XX:+PerfDisableSharedMem",
		"-Djava.net.preferIPv4Stack=true", "-Djava.io.tmpdir=" + in1("tmp"), "-Djna.tmpdir=" + in1("tmp"), "-Duser.home=" + in1("tmp"), "-Djdk.attach.allowAttachSelf=true",
		"-Dio.netty.tryReflectionSetAccessible=true", "-Dio.netty.allocator.useCacheForAllThreads=true", "-Dio.netty.allocator.maxOrder=11",
		s.configFlag(), "-Dcassandra-rackdc.properties=file://" + in1("conf/cassandra-rackdc.properties"), "-Dlogback.configurationFile=" + in1("conf/logback.xml"),
		"-Dcassandra.storagedir=" + s.dataDir(), "-Dcassandra.logdir=" + in1("log"), "-Dcassandra.triggers_dir=" + in1("conf/triggers"), "-Dcassandra-foreground=yes",
		"-Dcassandra.jmx.local.port=" + strconv.Itoa(jmxPort), "-Dcom.sun.management.jmxremote.authenticate=true", "-Dcom.sun.management.jmxremote.password.file=" + in1(jmxFile),
		"-Dcassandra.ring_delay_ms=1000", "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0", "-Dcassandra.gossip_settle_min_wait_ms=0",
		"-Dcassandra.reset_bootstrap_progress=false", // what a rebuild, or the join before it, has brought is kept: null would refuse to go on, true begin again
	}
	args = append(args, access()...)
	return append(args, "-cp", in.classPath(), "org.apache.cassandra.service.CassandraDaemon")
}
