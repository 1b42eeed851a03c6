/**
 * Two hosts on one machine: network and name spaces of their own, each held by a process, joined by a virtual cable. Nothing is
 * mounted and nothing outside of them is changed; they are gone with the processes that hold them. Launchers get over by a
 * script that stands in for ssh.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const network = '10.77.0'
const names = ['node-a', 'node-b'] as const
const addresses = [`${network}.1`, `${network}.2`] as const

/** Why there can be no such hosts here; undefined where there can. */
export function hostless(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const [command, ...args] of [
    ['ip', '-V'],
    ['nsenter', '--version'],
    ['unshare', '--net', '--uts', 'true'],
  ] as const) {
    try {
      execFileSync(command, args, { stdio: 'ignore' })
    } catch {
      return `${command} ${args.join(' ')} fails here`
    }
  }
  return undefined
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

  #in(host: 0 | 1, ...command: readonly string[]): void {
    execFileSync('nsenter', [...this.#entering(host), ...command], { stdio: ['ignore', 'ignore', 'inherit'] })
  }

  #entering(host: 0 | 1): string[] {
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
    const cable = [`wg${process.pid}a`, `wg${process.pid}b`] as const
    execFileSync('ip', ['link', 'add', cable[0], 'type', 'veth', 'peer', 'name', cable[1]])
    for (const host of [0, 1] as const) {
      execFileSync('ip', ['link', 'set', cable[host], 'netns', String(this.#holders[host]?.pid)])
      if (this.#device === 'lo') this.#in(host, 'ip', 'link', 'set', 'lo', 'name', 'lo0')
      this.#in(host, 'ip', 'link', 'set', this.#device === 'lo' ? 'lo0' : 'lo', 'up')
      this.#in(host, 'ip', 'link', 'set', cable[host], 'name', this.#device)
      this.#in(host, 'ip', 'addr', 'add', `${addresses[host]}/24`, 'dev', this.#device)
      this.#in(host, 'ip', 'link', 'set', this.#device, 'up')
    }
    const cases = names.map((name, host) => `${name}|${addresses[host]}) pid=${this.#holders[host]?.pid};;`)
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
  command(launcher: 'openmpi' | 'mpich'): { command: string[]; environment: Record<string, string> } {
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
    const mca = Object.entries(settings).flatMap(([name, value]) => ['--mca', name, value])
    return { command: [...enter, 'mpirun.openmpi', '--bind-to', 'none', ...mca, '--host', slots, '-n', '2'], environment: {} }
  }

  close(): void {
    for (const holder of this.#holders) holder.kill('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
