# One Cassandra node on this machine, on a loopback address of its own: a data centre of its cluster.

resource "localdb_cassandra" "this" {
  owner          = var.owner
  cluster        = var.cluster
  datacenter     = var.datacenter
  address        = var.address
  port           = var.port
  storage_port   = var.storage_port
  seeds          = var.seeds
  data_dir       = var.data_dir
  engine_version = var.engine_version
  settings       = var.settings

  admin_password_wo = var.admin_password
}
