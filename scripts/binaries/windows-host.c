// Functions of Node-API are bound when first called, and to the program that runs, whatever its name: node.exe, electron.exe, a
// single executable. Or to libnode.dll, where the runtime lies in one.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <delayimp.h>
#include <string.h>

static FARPROC WINAPI Host(unsigned event, PDelayLoadInfo info) {
  if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return NULL;
  HMODULE library = GetModuleHandleA("libnode.dll");
  return (FARPROC)(library != NULL ? library : GetModuleHandleA(NULL));
}

PfnDliHook __pfnDliNotifyHook2 = Host;
