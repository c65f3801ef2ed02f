variable "name" {
  description = "The server's name, for people: what `ps` shows."
  type        = string
}

variable "owner" {
  description = "The mark by which the server is known as this stack's. It never changes."
  type        = string
}

variable "address" {
  description = "The loopback address on which the server listens."
  type        = string
}

variable "port" {
  description = "The port on which the server listens."
  type        = number
  default     = 5432
}

variable "data_dir" {
  description = "The directory that the server owns. Another one makes another server, without the data."
  type        = string
}

variable "engine_version" {
  description = "A major version (\"15\": the newest 15.x of this machine) or an exact one (\"15.18\")."
  type        = string
}

variable "settings" {
  description = "PostgreSQL's parameters."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Whether terraform refuses to destroy the server."
  type        = bool
  default     = null
}

variable "directories" {
  description = "Directories beside the server, absolute paths by name."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "directories_note" {
  description = "What the marks of these directories say to people."
  type        = string
  default     = ""
}

variable "admin_password" {
  description = "The administrator's password. It is in no plan and no state."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "admin_password_version" {
  description = "Counts the changes of the administrator's password: a higher number sets it again."
  type        = number
  default     = 1
}
