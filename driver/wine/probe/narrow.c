/* For tests only: the probe as a program of 32 bits, with the commands that such a test needs: pid, open, close, read, control,
   event and wait, as src/main.rs has them. In C, as a program of Rust's standard library loads ws2_32.dll, which Wine 8 cannot
   in programs of 32 bits that run without a 32-bit Wine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

_Static_assert(sizeof(HANDLE) == 4, "a program of 32 bits");

#define FILES 16
static HANDLE files[FILES];
static unsigned opened;
static BYTE input[1 << 16], output[2 << 20];

static void answer_bytes(DWORD length)
{
	printf("ok ");
	for (DWORD i = 0; i < length; i++)
		printf("%02x", output[i]);
}

static DWORD bytes(const char *hex)
{
	DWORD length = 0;
	unsigned byte;
	while (length < sizeof(input) && sscanf(hex + 2 * length, "%2x", &byte) == 1)
		input[length++] = (BYTE)byte;
	return length;
}

/* Whether it was done; else GetLastError says why. */
static BOOL carry_out(char **words)
{
	DWORD length = 0;
	unsigned long first = words[1] ? strtoul(words[1], NULL, 10) : 0;
	BOOL is_file = words[1] && first < opened;

	if (!strcmp(words[0], "pid")) {
		printf("ok %lu", GetCurrentProcessId());
	} else if (!strcmp(words[0], "open") && opened < FILES) {
		HANDLE file = CreateFileW(L"\\\\.\\HoneOut", GENERIC_READ | GENERIC_WRITE,
					  FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
		if (file == INVALID_HANDLE_VALUE)
			return FALSE;
		files[opened] = file;
		printf("ok %u", opened++);
	} else if (!strcmp(words[0], "close") && is_file) {
		CloseHandle(files[first]);
		printf("ok ");
	} else if (!strcmp(words[0], "read") && is_file && words[2]) {
		DWORD room = strtoul(words[2], NULL, 10);
		if (!ReadFile(files[first], output, min(room, sizeof(output)), &length, NULL))
			return FALSE;
		answer_bytes(length);
	} else if (!strcmp(words[0], "control") && is_file && words[2] && words[3] && words[4]) {
		DWORD room = strtoul(words[4], NULL, 10);
		if (!DeviceIoControl(files[first], strtoul(words[2], NULL, 16), input, bytes(words[3]), output,
				     min(room, sizeof(output)), &length, NULL))
			return FALSE;
		answer_bytes(length);
	} else if (!strcmp(words[0], "event")) {
		HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);
		if (!event)
			return FALSE;
		printf("ok %lu", (unsigned long)(ULONG_PTR)event);
	} else if (!strcmp(words[0], "wait") && words[2]) {
		DWORD waited = WaitForSingleObject((HANDLE)(ULONG_PTR)first, strtoul(words[2], NULL, 10));
		if (waited != WAIT_OBJECT_0 && waited != WAIT_TIMEOUT)
			return FALSE;
		printf("ok %s", waited == WAIT_OBJECT_0 ? "set" : "not");
	} else {
		SetLastError(ERROR_INVALID_FUNCTION);
		return FALSE;
	}
	return TRUE;
}

int main(void)
{
	static char line[2 * sizeof(input) + 100];
	while (fgets(line, sizeof(line), stdin)) {
		char *words[6] = { 0 };
		char *word = strtok(line, " \r\n");
		for (int i = 0; word && i < 5; i++, word = strtok(NULL, " \r\n"))
			words[i] = word;
		if (words[0] && !carry_out(words))
			printf("error %lu", GetLastError());
		printf("\n");
		fflush(stdout);
	}
	return 0;
}
