"""A guest of the lab: its domain XML, its life, what is seen of it from outside."""

import os
import re
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional
from xml.sax.saxutils import escape, quoteattr, unescape

from .libvirtd import virsh
from .load import Load
from .machine import read_text
from .qmp import Qmp

MIB, GIB = 1 << 20, 1 << 30

# What a QEMU takes beside the guest's memory: about 95 MiB under TCG, 32 of it the translation cache.
OVERHEAD = 120 * MIB
SOCKETS = "/run/aerolab"

# Without rep movsb/stosb, which TCG emulates byte by byte: a guest then fills 1.4 GiB/s where it filled 0.3, and its balloon inflates
# 0.9 GiB/s instead of 0.4: about what real hardware does.
CPU = "<cpu mode='maximum'><feature policy='disable' name='erms'/><feature policy='disable' name='fsrm'/></cpu>"


@dataclass
class Options:
    """How a guest is made; what is not said is as Aerostat's users have it."""
    name: str
    memory: int = GIB                   # bytes, libvirt's maximum memory
    agent: bool = True                  # the guest agent runs
    channel: bool = True                # the domain has the agent's channel
    balloon: bool = True                # the domain has a balloon
    autodeflate: bool = False           # the guest takes memory back on its own rather than kill a process
    reporting: bool = True              # the guest reports free pages
    stats_period: int = 1               # seconds between balloon statistics; 0: not configured
    swap: int = 0                       # bytes of swap on a disk of its own
    zram: int = 0                       # bytes of swap in compressed memory
    agent_zram: bool = False            # the agent is to provide that itself
    psi: bool = False                   # the guest's kernel accounts for pressure; Debian's does not by default
    policy: Dict[str, str] = field(default_factory=dict)  # attributes of the domain's <policy> metadata
    memory_backing: str = ""            # XML inside <memoryBacking>
    numatune: str = ""                  # XML inside <numatune>
    devices: str = ""                   # XML of further devices


class Resources(NamedTuple):
    rss: int
    swap: int
    running: bool                       # False: stopped by a signal


def on_off(value: bool) -> str:
    return "on" if value else "off"


def disk_xml(path: str, target: str, read_only: bool) -> str:
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/><source file={quoteattr(path)}/><target dev='{target}' bus='virtio'/>
      {"<readonly/><shareable/>" if read_only else ""}
    </disk>"""


AGENT_PORT = 2  # libvirt numbers channels from 1, in the order of domain_xml()


def channel_xml(name: str) -> str:
    return f"<channel type='unix'><source mode='bind'/><target type='virtio' name='{name}'/></channel>"


def domain_xml(options: Options, image: str, folder: str) -> str:
    """`image` is build-image's folder, `folder` the run's work folder, which has the disks."""
    name = options.name
    command_line = ["console=ttyS0", "quiet", "panic=-1", f"lab.agent={int(options.agent)}", f"psi={int(options.psi)}"]
    disks = disk_xml(f"{folder}/disk.raw", "vda", read_only=True)
    if options.swap:
        disks += disk_xml(f"{folder}/{name}.swap", "vdb", read_only=False)
        command_line.append("lab.swap=vdb")
    if options.psi:
        command_line.append("psi=1")
    if options.zram:
        command_line.append(f"lab.zram={options.zram}")
    if options.agent_zram:
        command_line.append("lab.agent_zram=1")

    balloon = "<memballoon model='none'/>"
    if options.balloon:
        stats = f"<stats period='{options.stats_period}'/>" if options.stats_period else ""
        balloon = (f"<memballoon model='virtio' autodeflate='{on_off(options.autodeflate)}' "
                   f"freePageReporting='{on_off(options.reporting)}'>{stats}</memballoon>")
    channels = channel_xml("org.aerostat.lab.0") + (channel_xml("org.aerostat.guest.0") if options.channel else "")
    policy = "".join(f" {key}={quoteattr(value)}" for key, value in options.policy.items())
    metadata = f"<metadata><policy xmlns='urn:aerostat:policy:1'{policy}/></metadata>" if policy else ""
    backing = f"<memoryBacking>{options.memory_backing}</memoryBacking>" if options.memory_backing else ""

    numatune = f"<numatune>{options.numatune}</numatune>" if options.numatune else ""

    # A monitor of our own, and QEMU's word on when it was given a balloon target: neither asks libvirt or the daemon under test.
    arguments = ["-qmp", f"unix:{SOCKETS}/{name}.qmp,server=on,wait=off",
                 "-trace", "enable=virtio_balloon_to_target", "-D", f"{folder}/{name}.trace"]
    return f"""\
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{escape(name)}</name>{metadata}
  <memory unit='b'>{options.memory}</memory>{backing}
  <vcpu>1</vcpu>{numatune}
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{image}/vmlinuz</kernel><initrd>{image}/initramfs.gz</initrd><cmdline>{' '.join(command_line)}</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features>
  {CPU}
  <devices>
    <serial type='file'><source path={quoteattr(f"{folder}/{name}.console")}/></serial>
    {channels}{balloon}{disks}{options.devices}
  </devices>
  <qemu:commandline>{''.join(f"<qemu:arg value={quoteattr(a)}/>" for a in arguments)}</qemu:commandline>
</domain>
"""


class Guest:
    """Start with start(); stop with destroy(). What is read of it here comes from QEMU and the kernel, not from Aerostat."""

    def __init__(self, options: Options, image: str, folder: str) -> None:
        self.options, self.image, self.folder = options, image, folder
        self.name = options.name
        self.load: Optional[Load] = None
        self.qmp: Optional[Qmp] = None

    def start(self, boot_timeout: float = 120) -> None:
        """Returns once the guest's load generator answers."""
        path = f"{self.folder}/{self.name}.xml"
        if self.options.swap:
            with open(f"{self.folder}/{self.name}.swap", "wb") as file:
                file.truncate(self.options.swap)
        with open(path, "w", encoding="utf-8") as file:
            file.write(domain_xml(self.options, self.image, self.folder))
        virsh("define", path)
        virsh("start", self.name)
        self.qmp = Qmp(f"{SOCKETS}/{self.name}.qmp")
        try:
            self.load = Load(self.channel_path("org.aerostat.lab.0"), boot_timeout)
        except TimeoutError:
            raise TimeoutError(f"{self.name} did not boot within {boot_timeout:g} s; its console:\n{self.console()}") from None

    def channel_path(self, name: str) -> str:
        """Where libvirt put the channel's socket: its folder carries the domain's id."""
        xml = virsh("dumpxml", self.name)
        return unescape(re.search(rf"<source mode='bind' path='([^']+)'/>\s*<target type='virtio' name='{re.escape(name)}'", xml).group(1))

    def console(self) -> str:
        path = f"{self.folder}/{self.name}.console"
        return open(path, encoding="utf-8", errors="replace").read() if os.path.exists(path) else ""

    def destroy(self) -> None:
        """Ends it, and leaves its name to others."""
        virsh("destroy", self.name)
        virsh("undefine", self.name)
        self.forget()

    def forget(self) -> None:
        """Closes our connections to a guest that is gone."""
        for connection in (self.load and self.load.port, self.qmp):
            if connection:
                connection.close()
        self.load = self.qmp = None

    def suspend(self) -> None:
        virsh("suspend", self.name)

    def resume(self) -> None:
        """Lets a paused guest run; a running one already does."""
        if virsh("domstate", self.name) == "paused":
            virsh("resume", self.name)

    def set_memory(self, size: int) -> None:
        virsh("setmem", self.name, f"{size}b", "--live")

    def actual(self, timeout: float = 5.0) -> int:
        """The guest's memory by its balloon, in bytes; all of it where there is no balloon. TimeoutError when QEMU does not answer."""
        return self.qmp.actual(timeout) if self.options.balloon else self.options.memory

    @property
    def pid(self) -> int:
        return int(read_text(f"/run/libvirt/qemu/{self.name}.pid"))

    def resources(self) -> Resources:
        """What the host's kernel counts for the QEMU process."""
        text = read_text(f"/proc/{self.pid}/status")

        def kib(key: str) -> int:
            found = re.search(rf"^{key}:\s+(\d+) kB", text, re.M)
            return int(found.group(1)) * 1024 if found else 0

        return Resources(kib("VmRSS"), kib("VmSwap"), re.search(r"^State:\s+[Tt]", text, re.M) is None)

    def traced(self, event: str) -> List["tuple[float, str]"]:
        """What QEMU has traced of an event: (time, its words), oldest first."""
        path = f"{self.folder}/{self.name}.trace"
        text = read_text(path) if os.path.exists(path) else ""
        return [(float(stamp), words) for stamp, words in re.findall(rf"^\d+@([\d.]+):{event} (.*)$", text, re.M)]

    def balloon_targets(self) -> List["tuple[float, int]"]:
        """Every balloon target QEMU was given: (time, bytes), oldest first."""
        return [(stamp, int(words.split()[2], 16)) for stamp, words in self.traced("virtio_balloon_to_target")]

    def trace_agent(self) -> None:
        """From now on agent_spoke() knows."""
        self.qmp.execute("trace-event-set-state", name="virtio_console_flush_buf", enable=True)

    def agent_spoke(self) -> List[float]:
        """Whenever QEMU handed on what the guest's agent wrote, oldest first."""
        return [stamp for stamp, words in self.traced("virtio_console_flush_buf") if words.startswith(f"port {AGENT_PORT},")]
