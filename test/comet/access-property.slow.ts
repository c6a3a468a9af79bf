// Many cases of access-property.ts.
process.env['ACCESS_CASES'] ??= '400';
await import('./access-property.js');
