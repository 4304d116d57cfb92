//! The promises about machines that fail, one file each.

mod agent_cut_off;
mod brake;
mod clock_jumps;
mod disks;
mod forms;
mod frozen;
mod leader_dies;
mod lost_disk;
mod minority;
mod new_servers;
mod old_copy;
mod random_faults;
mod reboot;
mod servers_leave;
mod slow_network;
mod upgrade;
