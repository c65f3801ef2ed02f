# One PostgreSQL server on this machine, on a loopback address of its own.

resource "localdb_postgres" "this" {
  name           = var.name
  owner          = var.owner
  address        = var.address
  port           = var.port
  data_dir       = var.data_dir
  engine_version = var.engine_version
  settings       = var.settings

  deletion_protection = var.deletion_protection

  admin_password_wo         = var.admin_password
  admin_password_wo_version = var.admin_password_version
}

resource "localdb_directory" "beside" {
  for_each = var.directories

  path  = each.value
  owner = var.owner
  note  = var.directories_note
}
