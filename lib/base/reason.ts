// The reason of a failed system call or request, in words.

/** By the code of an error of Node.js. The names are for programs; people read these. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'the address is not available on this machine',
  EAGAIN: 'resource temporarily unavailable',
  EAI_AGAIN: 'the name server does not answer',
  EAI_FAIL: 'the name server failed',
  EAI_NODATA: 'the host name has no address',
  EAI_NONAME: 'the host name is unknown',
  EBADF: 'the file descriptor is closed',
  ECONNABORTED: 'the connection was aborted',
  ECONNREFUSED: 'connection refused: nothing listens there',
  ECONNRESET: 'the connection was reset',
  EDQUOT: 'the disk quota is exceeded',
  EEXIST: 'the file exists',
  EFBIG: 'the file is too large',
  EHOSTDOWN: 'the host is down',
  EHOSTUNREACH: 'the host is unreachable',
  EINVAL: 'invalid argument',
  EIO: 'input/output error',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files in this process',
  EMSGSIZE: 'the message is too long',
  ENAMETOOLONG: 'the name is too long',
  ENETDOWN: 'the network is down',
  ENETUNREACH: 'the network is unreachable',
  ENFILE: 'too many open files on this machine',
  ENOENT: 'no such file or directory',
  ENOMEM: 'not enough memory',
  ENOSPC: 'no space left on the device',
  ENOTCONN: 'not connected',
  ENOTDIR: 'a part of the path is not a directory',
  ENOTFOUND: 'the host name is unknown',
  ENOTSOCK: 'it is not a socket',
  ENXIO: 'no such device or address',
  EPERM: 'operation not permitted',
  EPIPE: 'the other side closed the connection',
  EPROTO: 'the other side does not speak TLS',
  EROFS: 'the file system is read-only',
  ETIMEDOUT: 'no answer in time',
  ETXTBSY: 'the file is in use as a program',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the other side does not speak TLS',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host name',
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'a certificate of the chain is self-signed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the issuer of the certificate is unknown',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the issuer of the certificate is unknown',
};

const TLS = /^(ERR_SSL_|ERR_TLS_|EPROTO$)/;

/**
 * The reason of an error in words. A code of the HTTP parser (`HPE_…`) means that the answer is not
 * HTTP. Other codes follow the error's own sentence.
 */
export function reasonOf(error: unknown): string {
  const { code = '', errors = [] } = error as { code?: string; errors?: readonly unknown[] };
  const message = error instanceof Error ? error.message : String(error);
  // A host with several addresses: one error for each of them.
  if (message === '' && errors.length > 0) return reasonOf(errors[0]);
  if (code.startsWith('HPE_')) return 'the answer is not HTTP';
  const words = WORDS[code];
  if (words !== undefined) return words;
  if (TLS.test(code)) return `TLS failed (${message})`;
  return message === '' ? code : message;
}
