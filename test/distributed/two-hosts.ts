/**
 * Two hosts on one machine: network and name spaces of their own, each held by a process, joined by virtual cables and a switch in
 * a third, where a cable can be pulled so that neither host is told. Nothing is mounted and nothing outside of them is changed; they are gone with the processes that hold them. Launchers get over by a
 * script that stands in for ssh.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { commands } from './launching.js'

const network = '10.77.0'
const names = ['node-a', 'node-b', 'switch'] as const
const addresses = [`${network}.1`, `${network}.2`] as const

/** Why there can be no such hosts here; undefined where there can. */
export function hostless(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const [command, ...args] of [
    ['ip', '-V'],
    ['nsenter', '--version'],
    ['unshare', '--net', '--uts', 'ip', 'link', 'add', 'switch', 'type', 'bridge'],
  ] as const) {
    try {
      execFileSync(command, args, { stdio: 'ignore' })
    } catch {
      return `${command} ${args.join(' ')} fails here`
    }
  }
  return undefined
}

/** The network that a process is in; undefined where there is none such. */
function spaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export class TwoHosts {
  readonly #folder = mkdtempSync(join(tmpdir(), 'wengert-hosts-'))
  readonly #holders: ChildProcess[] = []
  /** UCX, which MPICH talks by, looks for the names of the machine's own interfaces. */
  readonly #device = readdirSync('/sys/class/net').find((name) => name === 'eth0' || /^e[nt]/.test(name)) ?? 'lo'

  static async make(): Promise<TwoHosts> {
    const hosts = new TwoHosts()
    try {
      await hosts.#begin()
    } catch (error) {
      hosts.close()
      throw error
    }
    return hosts
  }

  #in(host: 0 | 1 | 2, ...command: readonly string[]): void {
    execFileSync('nsenter', [...this.#entering(host), ...command], { stdio: ['ignore', 'ignore', 'inherit'] })
  }

  #entering(host: 0 | 1 | 2): string[] {
    return ['--target', String(this.#holders[host]?.pid), '--net', '--uts', '--']
  }

  async #begin(): Promise<void> {
    for (const name of names) {
      const holder = spawn('unshare', ['--net', '--uts', 'sh', '-c', `hostname ${name} && echo there && exec sleep 3600`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      this.#holders.push(holder)
      await Promise.race([
        new Promise((resolve) => holder.stdout?.once('data', resolve)),
        wait(10_000).then(() => Promise.reject(new Error('a namespace could not be made'))),
      ])
    }
    this.#in(2, 'ip', 'link', 'add', 'switch', 'type', 'bridge')
    this.#in(2, 'ip', 'link', 'set', 'switch', 'up')
    for (const host of [0, 1] as const) {
      const [near, far] = [`wg${process.pid}n${host}`, `wg${process.pid}f${host}`]
      execFileSync('ip', ['link', 'add', near, 'type', 'veth', 'peer', 'name', far])
      execFileSync('ip', ['link', 'set', near, 'netns', String(this.#holders[host]?.pid)])
      execFileSync('ip', ['link', 'set', far, 'netns', String(this.#holders[2]?.pid)])
      this.#in(2, 'ip', 'link', 'set', far, 'name', names[host])
      this.#in(2, 'ip', 'link', 'set', names[host], 'up')
      if (this.#device === 'lo') this.#in(host, 'ip', 'link', 'set', 'lo', 'name', 'lo0')
      this.#in(host, 'ip', 'link', 'set', this.#device === 'lo' ? 'lo0' : 'lo', 'up')
      this.#in(host, 'ip', 'link', 'set', near, 'name', this.#device)
      this.#in(host, 'ip', 'addr', 'add', `${addresses[host]}/24`, 'dev', this.#device)
      this.#in(host, 'ip', 'link', 'set', this.#device, 'up')
    }
    this.plug()
    const cases = names.slice(0, 2).map((name, host) => `${name}|${addresses[host]}) pid=${this.#holders[host]?.pid};;`)
    const script = [
      '#!/bin/sh',
      'while expr "x$1" : x- > /dev/null; do shift; done',
      'host=$1',
      'shift',
      `case $host in ${cases.join(' ')} esac`,
      'exec nsenter --target "$pid" --net --uts -- /bin/sh -c "$*"',
    ]
    writeFileSync(this.#agent, `${script.join('\n')}\n`, { mode: 0o755 })
  }

  get #agent(): string {
    return join(this.#folder, 'agent')
  }

  /** What starts a rank on each of the two, over the network alone: shared memory, which they have, is not used. */
  command(launcher: 'openmpi' | 'mpich' | 'launch openmpi'): { command: string[]; environment: Record<string, string> } {
    const slots = addresses.map((address) => `${address}:1`).join(',')
    const enter = ['nsenter', ...this.#entering(0)]
    if (launcher === 'mpich') {
      const ssh = ['-launcher', 'rsh', '-launcher-exec', this.#agent, '-iface', this.#device, '-localhost', addresses[0]]
      return {
        command: [...enter, 'mpirun.mpich', ...ssh, '-hosts', slots, '-n', '2'],
        environment: { UCX_TLS: 'tcp,self', UCX_NET_DEVICES: this.#device },
      }
    }
    const settings = {
      plm_rsh_agent: this.#agent,
      pml: 'ob1',
      btl: 'tcp,self',
      btl_tcp_if_include: `${network}.0/24`,
      oob_tcp_if_include: `${network}.0/24`,
    }
    if (launcher === 'launch openmpi') {
      const hostfile = join(this.#folder, 'hosts')
      writeFileSync(hostfile, addresses.map((address) => `${address} slots=1\n`).join(''))
      const environment = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`OMPI_MCA_${name}`, value]))
      return { command: [...enter, ...commands[launcher], '-n', '2', '--hostfile', hostfile], environment }
    }
    const mca = Object.entries(settings).flatMap(([name, value]) => ['--mca', name, value])
    return { command: [...enter, 'mpirun.openmpi', '--bind-to', 'none', ...mca, '--host', slots, '-n', '2'], environment: {} }
  }

  plug(): void {
    for (const host of [0, 1] as const) this.#in(2, 'ip', 'link', 'set', names[host], 'master', 'switch')
  }

  /** What pulls the second host's cable, from wherever it is run on this machine. */
  get pulling(): string {
    return `nsenter ${this.#entering(2).join(' ')} ip link set ${names[1]} nomaster`
  }

  close(): void {
    // With them what is left there: a launcher's helper that was cut off.
    const spaces = new Set(this.#holders.flatMap(({ pid }) => spaceOf(String(pid)) ?? []))
    for (const pid of readdirSync('/proc')) if (/^\d+$/.test(pid) && spaces.has(spaceOf(pid) ?? '')) process.kill(Number(pid), 'SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
