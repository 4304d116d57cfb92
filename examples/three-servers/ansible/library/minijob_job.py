#!/usr/bin/python
# -*- coding: utf-8 -*-
# SPDX-License-Identifier: Apache-2.0
"""Jobs of a minijob cluster as Ansible tasks. It asks the command line, which knows how to ask the servers."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: minijob_job
short_description: Submits, starts, stops and forgets jobs of a minijob cluster
description:
  - Makes a job what the play says it is, by the command C(minijob), which has to be on the machine that the task runs on.
  - What is as it should be is left alone and reported as unchanged.
  - Use one of the states for a job. I(state=present) starts a job that was stopped, so a play that says C(present) and then
    C(disabled) of the same job stops and starts it every time.
options:
  state:
    description:
      - C(present), the jobs of the file are submitted as they are described, and started if they were stopped.
      - C(enabled), a job that the cluster knows is started, as it was.
      - C(disabled), a job that the cluster knows is stopped and stays known, with its history.
      - C(absent), a job is stopped and forgotten, with its history.
    type: str
    choices: [present, enabled, disabled, absent]
    default: present
  name:
    description:
      - The job's name. Required unless I(state=present).
      - With I(state=present) it may be left out; where it is given, the file has to describe this job and no other.
    type: str
  src:
    description:
      - The path of the job file on the machine that the task runs on; a directory means its *.yml and *.yaml.
      - Paths within the file are relative to it.
    type: path
  content:
    description:
      - The text of the job file instead, such as that of one on the controller, see the examples. Paths within it have to be absolute.
    type: str
  vars:
    description:
      - What C(${var.NAME}) stands for in the file. They reach the command in a file that only its user reads.
    type: dict
    default: {}
  namespace:
    description: The namespace of the job [the one of the context, else C(default)].
    type: str
  wait:
    description:
      - Whether to wait until the jobs are healthy, or batch jobs are complete (C(present), C(enabled)), until nothing of the job runs
        (C(disabled)), or until it is forgotten (C(absent)). The task fails where that does not happen.
      - It waits for what has not changed, too.
    type: bool
    default: true
  timeout:
    description: How long it waits, in seconds. What was ordered goes on after that.
    type: int
    default: 300
  context:
    description: The cluster, by its name in the C(contexts.yml) of the user that the task runs as.
    type: str
  addr:
    description: The servers instead, C(10.0.0.1:4650) [C(MINIJOB_ADDR), else the current context, else this machine].
    type: list
    elements: str
  token:
    description: What proves who you are [C(MINIJOB_TOKEN)]. It is never shown, and is in no command line.
    type: str
  token_file:
    description: A file that holds it, on the machine that the task runs on.
    type: path
  ca:
    description: The certificate of the cluster's CA, on the machine that the task runs on, for servers that speak TLS.
    type: path
  executable:
    description: The program, by its name or path.
    type: str
    default: minijob
notes:
  - Check mode asks C(minijob plan --exit-code) and the job's status; nothing is written. C(--diff) shows the plan.
  - Without I(context), I(addr), I(token), I(token_file) and I(ca) it goes by what the command itself would go by.
author:
  - The minijob authors
"""

EXAMPLES = r"""
- name: The shop runs as its file says
  minijob_job:
    name: shop
    src: /srv/jobs/shop.yml
    vars: {tag: "1.5"}

- name: The same from the controller, on any server
  minijob_job:
    content: "{{ lookup('file', 'jobs/shop.yml') }}"
    addr: [10.0.0.1:4650, 10.0.0.2:4650, 10.0.0.3:4650]
    token: "{{ vault_minijob_token }}"

- name: What would change
  minijob_job:
    src: /srv/jobs/shop.yml
  check_mode: true
  diff: true

- name: Nothing of it runs, and nothing is forgotten
  minijob_job:
    name: shop
    state: disabled

- name: It runs again, as it was
  minijob_job:
    name: shop
    state: enabled

- name: It is gone
  minijob_job:
    name: shop
    state: absent
"""

RETURN = r"""
msg:
  description: What became of each job, or what went wrong and what to do about it, as C(minijob) says it.
  returned: always
  type: str
  sample: "shop: submitted, version 2, healthy"
jobs:
  description: The documents that C(minijob --json) printed, one for a job (docs/api.md).
  returned: success
  type: list
  elements: dict
version:
  description: The version of the job, where there is one job and the cluster knows it.
  returned: success
  type: int
  sample: 2
stdout:
  description: What the last command printed.
  returned: always
  type: str
hint:
  description: The next step, where a command was refused and knows one.
  returned: failure
  type: str
details:
  description: The single faults, each with file, line and column.
  returned: failure
  type: list
  elements: str
diff:
  description: The plan, as text.
  returned: with --diff
  type: dict
"""

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule

# Exit codes of minijob.
DONE = 0
NOT_FOUND = 3
WOULD_CHANGE = 10
# Commands that change something, and say whether they did.
ORDERS = ("run", "start", "stop")
# The name of the context that is made for one task.
CONTEXT = "ansible"
# Seconds between two looks at a job that is waited for.
PAUSE = 0.5
# States that an allocation does not leave.
ENDED = ("complete", "failed", "stopped")


def documents(text):
    """Returns the JSON documents of a text that has one on each line; what is no document is left out."""
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


class Minijob(object):
    """The command line, as one task asks it."""

    def __init__(self, module):
        self.module = module
        self.flags, self.env = [], {"NO_COLOR": "1"}
        self.stdout, self.changed = "", False
        given = module.params
        if given["context"]:
            self.flags += ["--context", given["context"]]
        else:
            self.connect(
                given["addr"] or [a for a in os.environ.get("MINIJOB_ADDR", "").split(",") if a],
                given["token"] or ("" if given["token_file"] else os.environ.get("MINIJOB_TOKEN", "")),
            )
        if given["namespace"]:
            self.flags += ["--namespace", given["namespace"]]

    def connect(self, addr, token):
        """Makes a context for this task where the task says how to reach the cluster: the token is in no command line then."""
        given = self.module.params
        if not any(given[option] for option in ("addr", "token", "token_file", "ca")):
            return
        home = os.path.join(self.module.tmpdir, "minijob-config")
        token_file = given["token_file"]
        if token:
            # A file of its own: a complaint about the context shows the context's line.
            token_file = os.path.join(home, "token")
            self.keep(token_file, token)
        says = {"address": addr or ["127.0.0.1:4650"], "token_file": token_file, "ca": given["ca"]}
        says = dict((key, value) for key, value in says.items() if value)
        self.keep(os.path.join(home, "minijob", "contexts.yml"), json.dumps({CONTEXT: says}))
        self.env["XDG_CONFIG_HOME"] = home
        # On the command line a context wins over variables.
        self.flags += ["--context", CONTEXT]

    def keep(self, path, text):
        """Writes a file that only our user reads; it goes with the task's directory."""
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), 0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(text)

    def ask(self, *args, **also):
        """Runs a command and returns its exit code, its documents and its error; ends the task where the code is not expected."""
        expected, as_text = also.get("expected", (DONE,)), also.get("as_text", False)
        command = [self.module.params["executable"]] + self.flags + ([] if as_text else ["--json"]) + list(args)
        try:
            code, out, err = self.module.run_command(
                command, data=also.get("data"), environ_update=self.env, handle_exceptions=False
            )
        except OSError as cause:
            self.fail(
                "cannot run `%s`: %s" % (command[0], cause.strerror),
                "install minijob on this machine, or say where it is: executable",
            )
        self.stdout = out
        # What was ordered before something fails was ordered.
        self.changed = self.changed or args[0] in ORDERS and any(each.get("changed") for each in documents(out))
        if code not in expected:
            errors = [each for each in documents(err) if isinstance(each, dict) and "kind" in each]
            if errors:
                error = errors[-1]
                self.fail(error["message"], error.get("hint", ""), error.get("details", []), code)
            self.fail(err.strip() or out.strip() or "`%s` ended with %d" % (args[0], code), code=code)
        return code, out if as_text else documents(out)

    def fail(self, message, hint="", details=(), code=1):
        """Ends the task with what the product says: the sentence, each fault, the next step."""
        text = "\n".join([message] + list(details) + ([hint] if hint else []))
        self.module.fail_json(
            msg=text, hint=hint, details=list(details), rc=code, stdout=self.stdout, changed=self.changed
        )

    def end(self, changed, said, jobs, diff=None):
        """Ends the task well: what changed, or would in check mode."""
        result = {"changed": changed, "msg": "; ".join(said), "jobs": jobs, "stdout": self.stdout}
        if len(jobs) == 1 and jobs[0].get("version"):
            result["version"] = jobs[0]["version"]
        if diff is not None:
            result["diff"] = {"prepared": diff}
        self.module.exit_json(**result)

    def status(self, name, must_exist=True):
        """Returns the job's status; none where there is no such job and that is no fault."""
        code, found = self.ask("status", name, expected=(DONE,) if must_exist else (DONE, NOT_FOUND))
        return found[0] if code == DONE else None

    def wait(self, name, what, holds, must_exist=True):
        """Looks until the job's status is as wanted, and returns it; ends the task when the time is over."""
        given = self.module.params
        until = time.time() + given["timeout"]
        while True:
            status = self.status(name, must_exist)
            if holds(status):
                return status
            if time.time() >= until:
                why = (status or {}).get("why") or "it is %s" % (status or {}).get("health", "unknown")
                self.fail(
                    "%s: not %s in %d s: %s" % (name, what, given["timeout"], why),
                    "it goes on; `minijob status %s` shows how it is, timeout waits longer" % name,
                )
            time.sleep(PAUSE)


def present(minijob):
    """Submits the file where that would change anything, or is to be waited for."""
    module, given = minijob.module, minijob.module.params
    source, data = ([given["src"]], None) if given["src"] else (["-"], given["content"])
    if given["vars"]:
        path = os.path.join(module.tmpdir, "minijob-vars", "vars.yml")
        # Every JSON document is a YAML document.
        minijob.keep(path, json.dumps(dict((key, text_of(value)) for key, value in given["vars"].items())))
        source += ["--var-file", path]
    code, plan = minijob.ask("plan", "--exit-code", *source, data=data, expected=(DONE, WOULD_CHANGE))
    would = code == WOULD_CHANGE
    items = plan[0]["items"]
    if given["name"] and [item["name"] for item in items] != [given["name"]]:
        names = ", ".join(item["name"] for item in items)
        minijob.fail(
            "the file describes %s, not %s" % (names or "no job", given["name"]), "correct name, or leave it out", code=2
        )
    diff = None
    if module._diff:
        diff = minijob.ask("plan", "--exit-code", *source, data=data, expected=(DONE, WOULD_CHANGE), as_text=True)[1]
        minijob.stdout = diff
    if module.check_mode or not (would or given["wait"]):
        minijob.end(would, [planned(item) for item in items], items, diff)
    follow = ["--timeout", "%ds" % given["timeout"]] if given["wait"] else ["--detach"]
    jobs = minijob.ask("run", *(source + follow), data=data)[1]
    minijob.end(minijob.changed, [submitted(job) for job in jobs], jobs, diff)


def text_of(value):
    """Returns a variable's value as it would be written in the file."""
    return value if isinstance(value, type(u"")) else json.dumps(value)


def planned(item):
    """Says what submitting would do to a job."""
    if not item["changed"]:
        return "%s: nothing would change, version %d" % (item["name"], item["version"])
    if "present" not in item:
        return "%s: new" % item["name"]
    if item["present"] == item["version"]:
        return "%s: starts again, version %d" % (item["name"], item["version"])
    return "%s: version %d instead of %d" % (item["name"], item["version"], item["present"])


def submitted(job):
    """Says what became of a job."""
    what = "submitted" if job["changed"] else "nothing changed"
    outcome = "" if job["outcome"] == "submitted" else ", " + job["outcome"]
    return "%s: %s, version %d%s" % (job["name"], what, job["version"], outcome)


def enabled(minijob):
    """Starts a job that is stopped."""
    given, name = minijob.module.params, minijob.module.params["name"]
    job = minijob.status(name)
    changed = job["health"] == "stopped"
    if not minijob.module.check_mode:
        minijob.ask("start", name)
        changed = minijob.changed
        if given["wait"]:
            job = minijob.wait(name, "healthy", lambda job: job["health"] in ("healthy", "complete"))
    minijob.end(changed, ["%s: %s" % (name, "starts again" if changed else "is started already")], [job])


def disabled(minijob):
    """Stops a job; it stays known."""
    given, name = minijob.module.params, minijob.module.params["name"]
    job = minijob.status(name)
    changed = job["health"] != "stopped"
    if not minijob.module.check_mode:
        minijob.ask("stop", name)
        changed = minijob.changed
        if given["wait"]:
            job = minijob.wait(
                name, "at its end", lambda job: all(alloc["state"] in ENDED for alloc in job.get("allocs", []))
            )
    minijob.end(changed, ["%s: %s" % (name, "is stopped" if changed else "is stopped already")], [job])


def absent(minijob):
    """Stops a job and has it forgotten."""
    given, name = minijob.module.params, minijob.module.params["name"]
    job = minijob.status(name, must_exist=False)
    changed = job is not None
    if changed and not minijob.module.check_mode:
        minijob.ask("stop", "--purge", "--if-exists", name)
        if given["wait"]:
            minijob.wait(name, "forgotten", lambda job: job is None, must_exist=False)
    minijob.end(changed, ["%s: %s" % (name, "is removed" if changed else "there is no such job")], [job] if job else [])


STATES = {"present": present, "enabled": enabled, "disabled": disabled, "absent": absent}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "enabled", "disabled", "absent"], "default": "present"},
            "name": {"type": "str"},
            "src": {"type": "path"},
            "content": {"type": "str"},
            "vars": {"type": "dict", "default": {}},
            "namespace": {"type": "str"},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 300},
            "context": {"type": "str"},
            "addr": {"type": "list", "elements": "str"},
            "token": {"type": "str", "no_log": True},
            # The path is no secret.
            "token_file": {"type": "path", "no_log": False},
            "ca": {"type": "path"},
            "executable": {"type": "str", "default": "minijob"},
        },
        mutually_exclusive=[
            ("src", "content"),
            ("token", "token_file"),
            ("context", "addr"),
            ("context", "token"),
            ("context", "token_file"),
            ("context", "ca"),
        ],
        required_if=[
            ("state", "present", ("src", "content"), True),
            ("state", "enabled", ("name",)),
            ("state", "disabled", ("name",)),
            ("state", "absent", ("name",)),
        ],
        supports_check_mode=True,
    )
    if module.params["state"] != "present":
        for option in ("src", "content", "vars"):
            if module.params[option]:
                module.fail_json(msg="%s says nothing where state is %s: leave it out" % (option, module.params["state"]))
    STATES[module.params["state"]](Minijob(module))


if __name__ == "__main__":
    main()
