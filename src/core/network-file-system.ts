/** `f_type` of statfs(2), from the headers of Linux: locks and shared memory do not reach other hosts there. */
const types: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0x517b: 'SMB',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB2',
  0x5346414f: 'AFS',
  0x00c36400: 'Ceph',
  0x0bd00bd0: 'Lustre'
}

/**
 * The name of a network file system by its number, `undefined` for any other and wherever it cannot be told: outside of
 * Linux, and of FUSE, which has one number for local and remote ones.
 */
export function networkFileSystem(type: number, platform: string): string | undefined {
  return platform === 'linux' ? types[type >>> 0] : undefined
}
