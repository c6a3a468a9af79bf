// The certificates of tests, which the bench uses as well.
export { Authority, filesOf, type ServerCertificate } from '../../bench/certificates.js';
