; Hone's installer and uninstaller. scripts/build-installer defines
;   VERSION, NUMBERS   of Hone; NUMBERS as four numbers
;   FILES              the folder with the files to install: honeutil.exe, hone.sys, license.txt
;   OUT                the installer
;   SIGN               the command that signs a file, whose name is appended; not defined: nothing is signed
; docs/windows.md explains what it does and what its exit codes mean.

; A 64-bit program: so $SYSDIR is the real System32, and the registry view is the 64-bit one.
Target amd64-unicode
Unicode true
ManifestSupportedOS all
ManifestDPIAware true
RequestExecutionLevel admin
SetCompressor /SOLID lzma
!ifdef SIGN
  !uninstfinalize `${SIGN} "%1"` = 0
  !finalize `${SIGN} "%1"` = 0
!endif

!include MUI2.nsh
!include WinVer.nsh
!include x64.nsh

; Exit codes. 0 and 1 (cancelled) are NSIS's own.
!define FAILED 2
!define UNSUITABLE 3
!define IN_USE 4
!define NOT_RUNNING 5

!define FOLDER "$PROGRAMFILES64\PNNL\Hone"
!define MENU "$SMPROGRAMS\PNNL\Hone"
!define ENTRY "Software\Microsoft\Windows\CurrentVersion\Uninstall\Hone"
!define SETTINGS "Software\PNNL\Hone"
!define DRIVER "$SYSDIR\drivers\hone.sys"

Name "Hone ${VERSION}"
OutFile "${OUT}"
InstallDir "${FOLDER}"
InstallDirRegKey HKLM "${ENTRY}" InstallLocation
ShowInstDetails show
ShowUninstDetails show
VIProductVersion "${NUMBERS}"
VIAddVersionKey ProductName Hone
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey FileDescription "Hone's installer"
VIAddVersionKey CompanyName "The Hone authors"
VIAddVersionKey LegalCopyright "The Hone authors; MIT or Apache-2.0"

!define MUI_LICENSEPAGE_CHECKBOX
!insertmacro MUI_PAGE_LICENSE "${FILES}/license.txt"
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE English

; 1 if a driver was installed before.
Var Upgrade

; Reports TEXT, and ends with CODE.
!macro End UN TEXT CODE
  StrCpy $0 "${TEXT}"
  Call ${UN}Report
  SetErrorLevel ${CODE}
  Abort
!macroend

; Runs PROGRAM, a honeutil, with ARGUMENTS. Then $0 is its exit code (or "error", if it does not start), and $1 its output.
!macro Run PROGRAM ARGUMENTS
  DetailPrint "honeutil ${ARGUMENTS}"
  ; It does not start in the folder that may have to be removed: a process keeps its working folder from being removed.
  SetOutPath "$SYSDIR"
  nsExec::ExecToStack '"$INSTDIR\${PROGRAM}" ${ARGUMENTS}'
  Pop $0
  Pop $1
  DetailPrint "$1"
!macroend

; Functions for the installer and the uninstaller. NSIS requires that names of the uninstaller's functions begin with un.
!macro Shared UN
  ; Reports $0: in a window or, in silent mode, on standard error.
  Function ${UN}Report
    ${IfNot} ${Silent}
      DetailPrint "$0"
      MessageBox MB_OK|MB_ICONEXCLAMATION "$0"
      Return
    ${EndIf}
    System::Call "kernel32::GetStdHandle(i -12) p .r2"
    ${If} $2 P<= 0
      System::Call "kernel32::AttachConsole(i -1)"
      System::Call "kernel32::GetStdHandle(i -12) p .r2"
    ${EndIf}
    ${If} $2 P> 0
      FileWrite $2 "$0$\r$\n"
    ${EndIf}
  FunctionEnd

  Function ${UN}RequireAdministrator
    UserInfo::GetAccountType
    Pop $0
    ${If} $0 != "Admin"
      !insertmacro End "${UN}" "This needs an administrator." ${UNSUITABLE}
    ${EndIf}
  FunctionEnd

  ; A program that runs cannot be opened for writing.
  Function ${UN}RequireUnused
    ${If} ${FileExists} "$INSTDIR\honeutil.exe"
      ClearErrors
      FileOpen $0 "$INSTDIR\honeutil.exe" a
      ${If} ${Errors}
        !insertmacro End "${UN}" "Hone is in use: end honeutil, then run this again." ${IN_USE}
      ${EndIf}
      FileClose $0
    ${EndIf}
  FunctionEnd

  ; Removes everything that the installer has created, except what honeutil removes.
  Function ${UN}Remove
    Delete "$INSTDIR\honeutil.exe"
    Delete "$INSTDIR\honeutil.new"
    Delete "$INSTDIR\license.txt"
    Delete "$INSTDIR\uninstall.exe"
    RMDir "$INSTDIR"
    ${If} "$INSTDIR" == "${FOLDER}"
      RMDir "$PROGRAMFILES64\PNNL"
    ${EndIf}
    SetShellVarContext all
    Delete "${MENU}\Hone Reader.lnk"
    Delete "${MENU}\Hone Command Prompt.lnk"
    Delete "${MENU}\Uninstall Hone.lnk"
    RMDir "${MENU}"
    RMDir "$SMPROGRAMS\PNNL"
    DeleteRegKey HKLM "${ENTRY}"
  FunctionEnd
!macroend
!insertmacro Shared ""
!insertmacro Shared "un."

; Ends after a failed step, and restores the previous state as far as possible. $1 is the message of the failed step.
Function Fail
  Push $1
  ${If} $Upgrade == 1
    !insertmacro Run honeutil.exe start
    !insertmacro Run honeutil.exe send-conns
    Delete "$INSTDIR\honeutil.new"
    StrCpy $2 "Run this again: the installed files may be of two versions."
  ${Else}
    !insertmacro Run honeutil.exe uninstall
    Delete "${DRIVER}"
    Call Remove
    StrCpy $2 "What was installed is removed again."
  ${EndIf}
  Pop $1
  !insertmacro End "" "Hone cannot be installed. $1$\r$\n$2" ${FAILED}
FunctionEnd

; Ends, and keeps what is installed. $1 is the message of the failed step.
Function Incomplete
  StrCpy $0 "Hone is installed, but does not record yet. $1$\r$\nWhen that is fixed, run this again."
  Call Report
  SetErrorLevel ${NOT_RUNNING}
FunctionEnd

; Makes the shortcut $0 run as administrator, because the driver accepts only administrators as readers. It sets the flag
; RunAsUser, bit 13 of the four bytes at 20 ([MS-SHLLINK] 2.1.1).
Function RunAsAdministrator
  FileOpen $1 "$0" a
  FileSeek $1 21
  FileReadByte $1 $2
  IntOp $2 $2 | 0x20
  FileSeek $1 21
  FileWriteByte $1 $2
  FileClose $1
FunctionEnd

Function .onInit
  ${IfNot} ${IsNativeAMD64}
    !insertmacro End "" "Hone's driver is for x86-64." ${UNSUITABLE}
  ${EndIf}
  ${IfNot} ${AtLeastWin7}
    !insertmacro End "" "Hone is for Windows 7 and newer." ${UNSUITABLE}
  ${EndIf}
  Call RequireAdministrator
FunctionEnd

Section "Hone" SectionHone
  StrCpy $Upgrade 0
  ${If} ${FileExists} "${DRIVER}"
    StrCpy $Upgrade 1
  ${EndIf}

  ; Before any existing file is changed: can files be written, and does the driver stop?
  Call RequireUnused
  SetOverwrite try
  ClearErrors
  SetOutPath "$INSTDIR"
  File /oname=honeutil.new "${FILES}/honeutil.exe"
  ${If} ${Errors}
    !insertmacro End "" "Files cannot be written to $INSTDIR." ${FAILED}
  ${EndIf}
  !insertmacro Run honeutil.new stop
  ${If} $0 != 0
    StrCpy $3 $1
    Delete "$INSTDIR\honeutil.new"
    RMDir "$INSTDIR"
    !insertmacro End "" "The driver does not stop: close the programs that read from Hone. $3" ${IN_USE}
  ${EndIf}

  ClearErrors
  SetOutPath "$INSTDIR"
  Delete "$INSTDIR\honeutil.exe"
  Rename "$INSTDIR\honeutil.new" "$INSTDIR\honeutil.exe"
  File "${FILES}/license.txt"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  SetOutPath "$SYSDIR\drivers"
  File "${FILES}/hone.sys"
  SetOutPath "$INSTDIR"
  ${If} ${Errors}
    StrCpy $1 "Files cannot be written to $INSTDIR and $SYSDIR\drivers."
    Call Fail
  ${EndIf}

  SetShellVarContext all
  CreateDirectory "${MENU}"
  ; cmd uses the folder of the user who runs it, not of the user who installs.
  CreateShortcut "${MENU}\Hone Reader.lnk" "$SYSDIR\cmd.exe" \
    '/c ""$INSTDIR\honeutil.exe" --pause read -d "%USERPROFILE%\Documents""' "$INSTDIR\honeutil.exe"
  StrCpy $0 "${MENU}\Hone Reader.lnk"
  Call RunAsAdministrator
  ; Windows starts programs as administrator in System32, regardless of the folder in the shortcut.
  CreateShortcut "${MENU}\Hone Command Prompt.lnk" "$SYSDIR\cmd.exe" \
    '/k cd /d "$INSTDIR" & set "PATH=$INSTDIR;%PATH%"'
  StrCpy $0 "${MENU}\Hone Command Prompt.lnk"
  Call RunAsAdministrator
  CreateShortcut "${MENU}\Uninstall Hone.lnk" "$INSTDIR\uninstall.exe"

  WriteRegStr HKLM "${ENTRY}" DisplayName "Hone"
  WriteRegStr HKLM "${ENTRY}" DisplayVersion "${VERSION}"
  WriteRegStr HKLM "${ENTRY}" Publisher "The Hone authors"
  WriteRegStr HKLM "${ENTRY}" DisplayIcon "$INSTDIR\uninstall.exe"
  WriteRegStr HKLM "${ENTRY}" InstallLocation "$INSTDIR"
  WriteRegStr HKLM "${ENTRY}" UninstallString '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKLM "${ENTRY}" QuietUninstallString '"$INSTDIR\uninstall.exe" /S'
  SectionGetSize ${SectionHone} $0
  WriteRegDWORD HKLM "${ENTRY}" EstimatedSize $0
  WriteRegDWORD HKLM "${ENTRY}" NoModify 1
  WriteRegDWORD HKLM "${ENTRY}" NoRepair 1

  ; The driver starts with the system only after Windows has accepted it once. If a driver starts with the system and Windows
  ; then refuses its signature, the computer might not start.
  !insertmacro Run honeutil.exe "install --on-demand"
  ${If} $0 != 0
    Call Fail
  ${EndIf}
  !insertmacro Run honeutil.exe start
  ${If} $0 != 0
    Call Incomplete
    Return
  ${EndIf}
  !insertmacro Run honeutil.exe install
  ${If} $0 != 0
    Call Fail
  ${EndIf}
  !insertmacro Run honeutil.exe send-conns
  ${If} $0 != 0
    Call Incomplete
  ${EndIf}
SectionEnd

Function un.onInit
  Call un.RequireAdministrator
FunctionEnd

Section "Uninstall"
  ${IfNot} ${FileExists} "$INSTDIR\honeutil.exe"
    !insertmacro End "un." "honeutil.exe, which removes the driver, is missing: install Hone again first." ${FAILED}
  ${EndIf}
  Call un.RequireUnused
  !insertmacro Run honeutil.exe stop
  ${If} $0 != 0
    StrCpy $3 $1
    !insertmacro End "un." "The driver does not stop: close the programs that read from Hone. $3" ${IN_USE}
  ${EndIf}
  !insertmacro Run honeutil.exe uninstall
  ${If} $0 != 0
    StrCpy $3 $1
    !insertmacro End "un." "The driver cannot be removed. $3" ${FAILED}
  ${EndIf}
  Call un.Remove
  DeleteRegKey HKLM "${SETTINGS}"
  DeleteRegKey /ifempty HKLM "Software\PNNL"
SectionEnd
