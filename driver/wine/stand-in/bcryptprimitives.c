/* For tests: what Rust's standard library takes its random numbers from, which Wine 8 has not. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom, of advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
	while (length) {
		ULONG part = length > 0x10000000 ? 0x10000000 : (ULONG)length;

		if (!SystemFunction036(bytes, part))
			return FALSE;
		bytes += part;
		length -= part;
	}
	return TRUE;
}

BOOL WINAPI DllMain(HINSTANCE library, DWORD reason, LPVOID reserved)
{
	return TRUE;
}
