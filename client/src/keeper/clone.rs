//! Makes a child like `vfork` does, as a sibling: memory shared until it executes, its parent is ours.
//!
//! Three things that `posix_spawn` cannot: the child's parent is the guard (`CLONE_PARENT`), it is born into its control
//! group (`CLONE_INTO_CGROUP`, which spares the grace period of a migration), and it says its pid before `exec`.
//! `clone3` is tried first; where it is missing or filtered, glibc's `clone` does all but the control group.

use std::ffi::c_void;
use std::io;
use std::os::fd::RawFd;

/// What runs in the child. It must not return, allocate, unwind or touch thread-local state of libc.
pub(super) type Body = extern "C" fn(*mut c_void) -> i32;

/// The stack children run on, one after the other.
#[derive(Debug)]
pub(super) struct Stack {
    memory: Box<[u128]>,
}

/// How a child came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Born {
    /// Its process id.
    pub(super) pid: u32,
    /// Whether it is in the control group already.
    pub(super) in_cgroup: bool,
}

const STACK_BYTES: usize = 64 << 10;

impl Stack {
    /// Reserves the stack; its pages cost memory from the first child on.
    pub(super) fn new() -> Stack {
        Stack { memory: vec![0u128; STACK_BYTES / 16].into_boxed_slice() }
    }

    /// Runs `body(argument)` in a new child and returns when that has executed a program or ended.
    ///
    /// `before_fallback` is called when the child will not be born into `cgroup`, so that `body` can join it.
    ///
    /// # Safety
    /// `argument` must be what `body` expects and stay valid during the call, this process must have one thread, and all
    /// signals must be blocked, so that no handler runs in the child on this process' memory.
    pub(super) unsafe fn run(
        &mut self,
        body: Body,
        argument: *mut c_void,
        cgroup: Option<RawFd>,
        before_fallback: impl FnOnce(),
    ) -> io::Result<Born> {
        // SAFETY: the caller's promises are those of `clone3`.
        match unsafe { self.clone3(body, argument, cgroup) } {
            Ok(pid) => return Ok(Born { pid, in_cgroup: cgroup.is_some() }),
            Err(error) if may_be_unsupported(&error) => {}
            Err(error) => return Err(error),
        }
        before_fallback();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: the stack is ours, aligned, and unused while the parent is suspended by CLONE_VFORK.
        let pid = unsafe {
            let top = self.memory.as_mut_ptr_range().end.cast::<c_void>();
            libc::clone(body, top, flags, argument)
        };
        if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Born { pid: pid as u32, in_cgroup: false }) }
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    unsafe fn clone3(&mut self, body: Body, argument: *mut c_void, cgroup: Option<RawFd>) -> io::Result<u32> {
        /// `struct clone_args` of the kernel, version 2 (88 bytes).
        #[repr(C)]
        #[derive(Default)]
        struct Arguments {
            flags: u64,
            pidfd: u64,
            child_tid: u64,
            parent_tid: u64,
            exit_signal: u64,
            stack: u64,
            stack_size: u64,
            tls: u64,
            set_tid: u64,
            set_tid_size: u64,
            cgroup: u64,
        }
        const INTO_CGROUP: u64 = 0x2_0000_0000;
        // With CLONE_PARENT the exit signal is that of the caller, and must be 0 here.
        let mut arguments = Arguments {
            flags: (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT) as u64,
            stack: self.memory.as_mut_ptr() as u64,
            stack_size: (self.memory.len() * 16) as u64,
            ..Arguments::default()
        };
        if let Some(fd) = cgroup {
            arguments.flags |= INTO_CGROUP;
            arguments.cgroup = fd as u64;
        }
        // SAFETY: the arguments live through the call; the child runs on its own stack, calls `body` and never comes
        // back, so this frame is left alone while the parent is suspended.
        let result =
            unsafe { raw_clone3(&raw mut arguments as usize, size_of::<Arguments>(), body, argument) };
        if result < 0 { Err(io::Error::from_raw_os_error(-result as i32)) } else { Ok(result as u32) }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    unsafe fn clone3(&mut self, _: Body, _: *mut c_void, _: Option<RawFd>) -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Whether another way to make the child may work where `clone3` did not: not known (ENOSYS), filtered by seccomp
/// (EPERM), without this flag (EINVAL, E2BIG), or a group that takes no process that way (EBUSY, EOPNOTSUPP, EACCES).
fn may_be_unsupported(error: &io::Error) -> bool {
    let known =
        [libc::ENOSYS, libc::EPERM, libc::EINVAL, libc::E2BIG, libc::EBUSY, libc::EOPNOTSUPP, libc::EACCES];
    error.raw_os_error().is_some_and(|errno| known.contains(&errno))
}

#[cfg(target_arch = "x86_64")]
unsafe fn raw_clone3(arguments: usize, size: usize, body: Body, argument: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: the child starts behind `syscall` on its own 16-byte aligned stack with the parent's registers; r12 and
    // r13 are preserved by the kernel. It never leaves the call.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") arguments,
            in("rsi") size,
            in("r12") argument,
            in("r13") body,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn raw_clone3(arguments: usize, size: usize, body: Body, argument: *mut c_void) -> isize {
    let result: isize;
    // SAFETY: as for x86_64; x20 and x21 are preserved by the kernel.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            inlateout("x0") arguments as isize => result,
            in("x1") size,
            in("x8") libc::SYS_clone3,
            in("x20") argument,
            in("x21") body,
        );
    }
    result
}
